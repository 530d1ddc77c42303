//! The reader, which takes packets out of a stream that arrives in pieces of any length.

use super::*;

/// Takes packets out of a stream.
///
/// Invariant: after [`PacketReader::next`] said `None` it holds less than one packet.
#[derive(Debug)]
pub struct PacketReader {
    /// The bytes from the beginning of a packet that was taken, or of the next one.
    buffer: Vec<u8>,
    /// The beginning of the next packet in `buffer`.
    start: usize,
    /// The progress through the identities of the next packet, so that they are not walked through again for each
    /// piece.
    walked: Option<Walked>,
    /// The bound on the data of a packet.
    data_bytes_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Walked {
    /// The number of identities left.
    items_left: u32,
    /// The end of the others within the packet.
    at: usize,
}

impl PacketReader {
    /// A reader of a stream whose packets may have so many bytes of data.
    pub fn new(data_bytes_max: usize) -> PacketReader {
        PacketReader { buffer: Vec::new(), start: 0, walked: None, data_bytes_max }
    }

    /// Sets another bound from the next packet on.
    pub fn set_data_bytes_max(&mut self, data_bytes_max: usize) {
        self.data_bytes_max = data_bytes_max;
    }

    /// The number of bytes that came and belong to no packet that was taken.
    pub fn buffered(&self) -> usize {
        assert!(self.start <= self.buffer.len(), "a packet that was taken had come");
        self.buffer.len() - self.start
    }

    /// Adds a piece of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The bytes after the last packet that was taken, which are no packets (the tree after SNAP).
    pub fn take_rest(&mut self) -> Vec<u8> {
        assert!(self.walked.is_none(), "the last packet was taken whole");
        let rest = self.buffer.split_off(self.start);
        self.buffer = Vec::new();
        self.start = 0;
        self.walked = None;
        rest
    }

    /// The next packet, if all of it has come.
    ///
    /// # Errors
    /// The stream is not one of packets. The reader must not be used any more.
    #[expect(clippy::should_implement_trait, reason = "None means not yet, not never")]
    pub fn next(&mut self) -> Result<Option<Packet>, PacketError> {
        let found = self.measure()?;
        let Some(length) = found else {
            if self.start == self.buffer.len() {
                // A long packet must not leave a long buffer behind.
                self.start = 0;
                self.buffer.clear();
                self.buffer.shrink_to(64 * 1024);
            }
            return Ok(None);
        };
        assert!(length >= BARE_PACKET_BYTES, "no packet is shorter: {length}");
        assert!(length <= self.buffered(), "all of it has come: {length}");
        assert!(self.walked.is_none(), "what was walked over is taken");
        let bytes = &self.buffer[self.start..self.start + length];
        self.start += length;
        let mut input = Decoder::new(bytes);
        let whole = "the packet was measured";
        let kind = input.i32().expect(whole);
        let zxid = Zxid(input.i64().expect(whole));
        let data: Option<&[u8]> = Jute::decode(&mut input).expect(whole);
        let data = data.map(Bytes::copy_from_slice);
        let count = input.i32().expect(whole);
        let mut authinfo = Vec::new();
        for _ in 0..count.max(0) {
            let id = Id::decode(&mut input).map_err(|_| PacketError::NoText)?;
            authinfo.push(Identity::new(id.scheme.unwrap_or_default(), id.id.unwrap_or_default()));
        }
        assert!(input.is_empty(), "a packet is read to where it was measured");
        Ok(Some(Packet { kind, zxid, data, authinfo }))
    }

    /// The length of the next packet, if all of it has come.
    fn measure(&mut self) -> Result<Option<usize>, PacketError> {
        let bytes = &self.buffer[self.start..];
        let Some(kind) = i32_at(bytes, 0) else { return Ok(None) };
        if kind == ELECTION_KIND && bytes.len() < ELECTION_HEAD_BYTES {
            return Ok(None);
        }
        if let Some(said) = election_caller(bytes) {
            return Err(PacketError::Election(said));
        }
        if !(packet::REQUEST..=packet::INFORMANDACTIVATE).contains(&kind) {
            return Err(PacketError::Type(kind));
        }
        let Some(length) = i32_at(bytes, 12) else { return Ok(None) };
        let data_end = HEAD_BYTES
            + match length {
                -1 => 0,
                _ => usize::try_from(length)
                    .ok()
                    .filter(|length| *length <= self.data_bytes_max)
                    .ok_or(PacketError::DataLength { length, max: self.data_bytes_max })?,
            };
        let mut walked = match self.walked {
            Some(walked) => walked,
            None => {
                let Some(count) = i32_at(bytes, data_end) else { return Ok(None) };
                let items_left = match count {
                    -1 => 0,
                    _ => u32::try_from(count).map_err(|_| PacketError::Authinfo)?,
                };
                Walked { items_left, at: data_end + 4 }
            }
        };
        while walked.items_left > 0 {
            match identity_end(bytes, walked.at)? {
                Some(at) => walked = Walked { items_left: walked.items_left - 1, at },
                None => break,
            }
            if walked.at - data_end > AUTHINFO_BYTES_MAX {
                return Err(PacketError::Authinfo);
            }
        }
        self.walked = (walked.items_left > 0).then_some(walked);
        Ok((walked.items_left == 0).then_some(walked.at))
    }
}

/// The id of the server, if the stream begins like one of the election port.
pub fn election_caller(bytes: &[u8]) -> Option<ServerId> {
    let version = i64_at(bytes, 0)?;
    let is_election = version == ELECTION_PROTOCOL_V1 || version == ELECTION_PROTOCOL_V2;
    i64_at(bytes, 8).filter(|_| is_election).map(ServerId)
}

/// The end of the identity that begins at `at`, if all of it has come.
fn identity_end(bytes: &[u8], at: usize) -> Result<Option<usize>, PacketError> {
    let mut end = at;
    for _ in 0..2 {
        let Some(length) = i32_at(bytes, end) else { return Ok(None) };
        let length = match length {
            -1 => 0,
            _ => usize::try_from(length)
                .ok()
                .filter(|length| *length <= AUTHINFO_BYTES_MAX)
                .ok_or(PacketError::Authinfo)?,
        };
        end += 4 + length;
    }
    Ok((end <= bytes.len()).then_some(end))
}
