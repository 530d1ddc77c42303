//! The input of a connection: whole frames and four-letter words.
//!
//! ```text
//! first bytes   four-letter word: 4 bytes of ASCII, `stmk` with 8 more; or a connect request, which is a frame
//! frame         int len | len bytes
//! ```
//! A word counts as such only as the first bytes of a connection: its ASCII, taken as a length, would be far above
//! any bound (`NIOServerCnxn.checkFourLetterWord`). Frames are passed on as they are, with their lengths, straight
//! from the memory of the read; only the part of a frame is copied, and waits in `partial`.

use super::{Connection, End};
use crate::admin::word::FourLetterWord;
use crate::limits;
use crate::net::Core;
use crate::net::frame::{LENGTH_BYTES, Tail, split};
use crate::net::stranger::Stranger;

/// A receive buffer larger than this is freed as soon as it is empty.
const PARTIAL_BYTES_KEPT: usize = 4096;

/// Room that is allocated for the rest of a frame, per byte that has arrived.
const FRAME_ROOM_PER_BYTE: usize = 15;

impl Connection {
    /// The client sends nothing more. Returns the end of the connection, if it never sent a whole frame. Otherwise
    /// its requests are answered first: a client that sends a four-letter word and closes its half, as `nc -N` does,
    /// waits for the answer.
    pub(super) fn input_ends(&self) -> Option<End> {
        if !self.greeted.get() {
            return Some(End::ByClient);
        }
        self.input_over.set(true);
        // After a word there is no session whose requests are to be finished; the answer ends the connection.
        if !self.asked_a_word.get() {
            self.core.end(self.id);
        }
        None
    }

    /// Takes the bytes of one read: passes whole frames on, keeps the rest.
    ///
    /// # Errors
    /// The client broke the protocol; the reason, for the log.
    pub(super) fn received(&self, bytes: &[u8]) -> Result<(), String> {
        if self.asked_a_word.get() {
            // Bytes after a four-letter word have no meaning.
            return Ok(());
        }
        let mut partial = self.partial.borrow_mut();
        // The usual case copies nothing: the frames are whole, and `partial` stays empty.
        let used = if partial.is_empty() {
            let used = self.hand_on(bytes)?;
            partial.extend_from_slice(&bytes[used..]);
            bytes.len()
        } else {
            partial.extend_from_slice(bytes);
            let used = self.hand_on(&partial)?;
            partial.drain(..used);
            used
        };
        if partial.is_empty() {
            if partial.capacity() > PARTIAL_BYTES_KEPT {
                *partial = Vec::new();
            }
            return Ok(());
        }
        if used > 0 {
            // It is the beginning of another frame.
            self.looks.set(0);
            self.table.note_begun(self);
        }
        if let Tail::Partial(needed) = split(&partial, u32::MAX).tail
            && partial.capacity() > PARTIAL_BYTES_KEPT
        {
            // A large frame is arriving: allocate for its rest, once or twice. Not for its whole announced
            // length, because announcing costs a client nothing.
            let missing = needed - partial.len();
            let more = missing.min(FRAME_ROOM_PER_BYTE * partial.len());
            partial.reserve_exact(more);
        }
        Ok(())
    }

    /// Checks an incomplete frame, and closes the connection if the frame does not become complete in time.
    /// True: it has to be checked again.
    pub(in crate::net) fn look_after_frame(&self) -> bool {
        let partial = self.partial.borrow();
        if partial.is_empty() || self.end.borrow().is_some() {
            return false;
        }
        let options = &self.table.shared.options;
        let is_read = !self.throttled.get()
            && !self.waits_for_answers.get()
            && self.unsent.borrow().unknown() <= options.unsent_bytes_before_pause;
        let looks = self.looks.get() + u32::from(is_read);
        self.looks.set(looks);
        // The length itself is incomplete: one that is not allowed has failed in `hand_on`.
        let needed = match split(&partial, u32::MAX).tail {
            Tail::Partial(needed) => needed,
            Tail::Unknown | Tail::Bad(_) => LENGTH_BYTES,
        };
        let more = u32::try_from(needed / limits::FRAME_BYTES_PER_LOOK).unwrap_or(u32::MAX);
        if looks <= limits::FRAME_LOOKS_MIN.saturating_add(more) {
            return true;
        }
        let arrived = partial.len();
        drop(partial);
        self.fail(format!("only {arrived} of {needed} bytes of a request have come in {looks} s"));
        false
    }

    /// Passes whole frames on; returns how many bytes were consumed.
    ///
    /// # Errors
    /// A frame has a negative length, or is longer than allowed: the first one [`limits::CONNECT_FRAME_BYTES_MAX`],
    /// the others `jute.maxbuffer`. The frames before it were passed on.
    fn hand_on(&self, bytes: &[u8]) -> Result<usize, String> {
        let (table, core) = (&self.table, &*self.core);
        if !self.greeted.get()
            && let Some(first) = bytes.first_chunk::<4>()
            && let Some(word) = FourLetterWord::parse(*first)
        {
            return Ok(self.word(core, word, bytes));
        }
        if !self.greeted.get()
            && let Some(first) = bytes.first_chunk()
            && let Some(stranger) = Stranger::on_plain_port(*first)
        {
            return Err(self.send_away(stranger));
        }
        let frame_bytes_max = table.shared.options.frame_bytes_max;
        if !self.greeted.get()
            && let Some(first) = bytes.first_chunk::<LENGTH_BYTES>()
            && let length = i32::from_be_bytes(*first)
            && u32::try_from(length).map_or(true, |it| it > limits::CONNECT_FRAME_BYTES_MAX)
        {
            return Err(format!(
                "its first frame is to have {length} bytes; a connect request has {} at most",
                limits::CONNECT_FRAME_BYTES_MAX
            ));
        }
        let found = split(bytes, frame_bytes_max);
        if found.frames > 0 {
            self.greeted.set(true);
            table.count(self, found.frames, found.whole_bytes as u64);
            core.frames(self.id, &bytes[..found.whole_bytes]);
        }
        match found.tail {
            Tail::Bad(length) => Err(format!(
                "a frame of {length} bytes was announced; 0 to {} are allowed (jute.maxbuffer)",
                table.shared.options.frame_bytes_max
            )),
            Tail::Unknown | Tail::Partial(_) => Ok(found.whole_bytes),
        }
    }

    /// Passes a four-letter word on when its argument is there too. Returns the consumed bytes: all, or none.
    fn word(&self, core: &dyn Core, word: FourLetterWord, bytes: &[u8]) -> usize {
        let needed = LENGTH_BYTES + word.argument_bytes();
        if bytes.len() >= needed {
            self.greeted.set(true);
            self.asked_a_word.set(true);
            core.word(self.id, self.remote, word, bytes[LENGTH_BYTES..].first_chunk().copied());
            return bytes.len();
        }
        0
    }
}
