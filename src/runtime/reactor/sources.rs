//! The sources that a reactor watches, and the user data by which their completions are known.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use super::SocketOwner;
use crate::runtime::ring::UserData;

/// A source: its place, and a generation, because places are reused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key {
    pub slot: u32,
    generation: u32,
}

impl Key {
    /// The key of what is no source, such as the bell.
    pub const NONE: Key = Key { slot: 0, generation: 0 };
}

/// The kind of a completion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum About {
    /// A socket's input.
    Input = 0,
    /// A socket's room for output.
    Room = 1,
    /// The bell.
    Bell = 2,
    /// A poll was cancelled.
    Removal = 3,
}

/// What a completion is about. As user data: the kind in the upper two bits, then the slot, then the generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Subject {
    pub about: About,
    pub key: Key,
}

/// 30 bits: more sockets than a process may have.
const SLOT_BITS: u32 = 30;

impl UserData for Subject {
    fn to_word(self) -> u64 {
        let Key { slot, generation } = self.key;
        (self.about as u64) << 62 | u64::from(slot) << 32 | u64::from(generation)
    }

    fn from_word(word: u64) -> Subject {
        let about = match word >> 62 {
            0 => About::Input,
            1 => About::Room,
            2 => About::Bell,
            _ => About::Removal,
        };
        let slot = u32::try_from(word >> 32 & ((1 << SLOT_BITS) - 1)).expect("30 bits");
        let generation = u32::try_from(word & u64::from(u32::MAX)).expect("32 bits");
        Subject { about, key: Key { slot, generation } }
    }
}

/// All sources, by slot.
#[derive(Default)]
pub(super) struct Sources {
    slots: Vec<Source>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Source {
    generation: u32,
    open: Option<Open>,
}

/// A watched socket.
pub(super) struct Open {
    pub fd: RawFd,
    /// The epoll through which it is polled for input, if its file must not be held open.
    pub through: Option<OwnedFd>,
    pub owner: Rc<dyn SocketOwner>,
    pub waits_for_room: bool,
    /// Its owner is called before others.
    pub is_urgent: bool,
    /// As [`Readiness::hung_up`](super::Readiness::hung_up); never cleared.
    pub hung_up: bool,
}

impl Open {
    /// The descriptor that is polled for input.
    pub fn input_fd(&self) -> RawFd {
        self.through.as_ref().map_or(self.fd, AsRawFd::as_raw_fd)
    }
}

impl Sources {
    pub fn insert(&mut self, open: Open) -> Key {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Source::default());
            u32::try_from(self.slots.len() - 1).expect("fewer sockets than 2^30")
        });
        let source = &mut self.slots[slot as usize];
        source.generation = source.generation.wrapping_add(1);
        source.open = Some(open);
        Key { slot, generation: source.generation }
    }

    pub fn get(&mut self, key: Key) -> Option<&mut Open> {
        let source = self.slots.get_mut(key.slot as usize)?;
        if source.generation == key.generation { source.open.as_mut() } else { None }
    }

    pub fn remove(&mut self, key: Key) -> Option<Open> {
        let source = self.slots.get_mut(key.slot as usize)?;
        if source.generation != key.generation {
            return None;
        }
        let open = source.open.take()?;
        self.free.push(key.slot);
        Some(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_data_brings_back_what_it_is_about() {
        for about in [About::Input, About::Room, About::Bell, About::Removal] {
            for (slot, generation) in [(0, 0), (1, u32::MAX), ((1 << SLOT_BITS) - 1, 7)] {
                let subject = Subject { about, key: Key { slot, generation } };
                assert_eq!(Subject::from_word(subject.to_word()), subject);
            }
        }
    }
}
