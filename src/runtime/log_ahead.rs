//! Reads, checks and decodes the records of a log in a separate thread, while the calling thread applies earlier
//! ones.
//!
//! The rule that is easy to break: offset and verdict must refer to the records that were taken, not to the present
//! position of the reading thread.

use std::io::{self, Read, Seek};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::recovery::LogEntries;
use crate::txnlog::{Entry, Reader, Verdict};

/// Largest number of records per batch: so many that the cost of waking the other thread does not matter.
const ENTRIES_AT_ONCE: usize = 512;

/// Bytes of records per batch, plus one record.
const BYTES_AT_ONCE: u64 = 1 << 20;

/// Largest number of waiting batches.
const BATCHES_AHEAD: usize = 4;

/// A shorter file is read before a thread would have begun.
const BYTES_WORTH_A_THREAD: u64 = 1 << 20;

/// The reader; see the module's comment.
struct LogAhead {
    batches: Receiver<io::Result<Batch>>,
    batch: Batch,
    bytes_total: u64,
}

/// Records that were read one after the other.
#[derive(Default)]
struct Batch {
    entries: std::vec::IntoIter<Entry>,
    /// The offset of reading after them.
    offset: u64,
    /// Set with the last records of the file.
    verdict: Option<Verdict>,
}

/// Reads a log ahead if it is long enough to be worth a thread.
///
/// # Errors
/// The thread cannot be started.
pub(super) fn ahead<'r, R: Read + Seek + Send + 'static>(
    reader: Reader<R>,
) -> io::Result<Box<dyn LogEntries + 'r>> {
    let bytes_total = reader.bytes_total();
    if bytes_total < BYTES_WORTH_A_THREAD {
        return Ok(Box::new(reader));
    }
    let (give, batches) = sync_channel(BATCHES_AHEAD);
    std::thread::Builder::new().name("rk-log-ahead".into()).spawn(move || run(reader, &give))?;
    Ok(Box::new(LogAhead { batches, batch: Batch::default(), bytes_total }))
}

/// Runs up to the end, an error, or until the receiver is gone.
fn run<R: Read + Seek>(mut reader: Reader<R>, give: &SyncSender<io::Result<Batch>>) {
    loop {
        let (batch, failed) = Batch::read(&mut reader);
        let ends = batch.verdict.is_some() || failed.is_some();
        // Records that were read before an error count, as they do without a thread.
        let gone = give.send(Ok(batch)).is_err();
        if gone || failed.is_some_and(|error| give.send(Err(error)).is_err()) || ends {
            return;
        }
    }
}

impl Batch {
    fn read<R: Read + Seek>(reader: &mut Reader<R>) -> (Batch, Option<io::Error>) {
        let mut entries = Vec::with_capacity(ENTRIES_AT_ONCE);
        let (mut bytes, mut failed) = (0, None);
        while entries.len() < ENTRIES_AT_ONCE && bytes < BYTES_AT_ONCE {
            match reader.next_entry() {
                Ok(Some(entry)) => {
                    bytes += entry.bytes;
                    entries.push(entry);
                }
                Ok(None) => break,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let (offset, verdict) = (reader.offset(), reader.verdict().cloned());
        (Batch { entries: entries.into_iter(), offset, verdict }, failed)
    }
}

impl LogEntries for LogAhead {
    fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.batch.entries.next() {
                return Ok(Some(entry));
            }
            if self.batch.verdict.is_some() {
                return Ok(None);
            }
            let next = self.batches.recv();
            self.batch = next.map_err(|_| io::Error::other("it could not be read before"))??;
        }
    }

    fn verdict(&self) -> Option<&Verdict> {
        self.batch.verdict.as_ref().filter(|_| self.batch.entries.as_slice().is_empty())
    }

    fn offset(&self) -> u64 {
        self.batch.offset
    }

    fn bytes_total(&self) -> u64 {
        self.bytes_total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, SeekFrom};

    use crate::id::{SessionId, Zxid};
    use crate::io::{Completion, Done, Op};
    use crate::proto::OpCode;
    use crate::proto::txn::{SetDataTxn, Txn, TxnBody, TxnHeader};
    use crate::txnlog::{Append, Progress, Writer, WriterOptions};

    /// A log file with `txns` transactions.
    fn log(txns: i64) -> Vec<u8> {
        let mut writer = Writer::new(WriterOptions::default(), Zxid::ZERO, 1);
        let (mut file, mut zxid) = (Vec::new(), 0);
        loop {
            let mut ops = Vec::new();
            writer.poll(&mut ops);
            for op in ops {
                let token = op.token();
                let done = match op {
                    Op::LogWrite { buf, bytes, offset, .. } => {
                        file.resize(usize::try_from(offset).unwrap(), 0);
                        file.extend_from_slice(&buf[..bytes as usize]);
                        Done::Buffer(buf)
                    }
                    _ => Done::Plain,
                };
                let progress = writer.handle_completion(Completion { token, result: Ok(done) });
                assert!(matches!(progress, Progress::None | Progress::Synced(_)), "{progress:?}");
            }
            if zxid == txns && writer.is_idle() {
                return file;
            }
            for _ in 0..(txns - zxid).min(100) {
                zxid += 1;
                let (client_id, op) = (SessionId(1), OpCode::SetData);
                let header = TxnHeader { client_id, cxid: 0, zxid: Zxid(zxid), time: 0, op };
                let body = SetDataTxn { path: Some("/a"), data: Some(&[7; 300]), version: 1 };
                let txn = Txn::new(header, &TxnBody::SetData(body), None);
                assert_eq!(writer.append(&txn), Append::Accepted);
            }
        }
    }

    /// All records of a reader, and its verdict.
    fn all(entries: &mut dyn LogEntries) -> (Vec<Entry>, Option<Verdict>, u64) {
        let mut read = Vec::new();
        while let Some(entry) = entries.next_entry().unwrap() {
            assert!(entries.verdict().is_none() || read.len() > 1000, "not before the end");
            read.push(entry);
        }
        (read, entries.verdict().cloned(), entries.offset())
    }

    #[test]
    fn a_thread_reads_what_its_caller_would_read() {
        let file = log(6000);
        assert!(file.len() as u64 > BYTES_WORTH_A_THREAD);
        let end = file.len();
        let mut damaged = file.clone();
        damaged[end / 2] ^= 1;
        for file in [file.clone(), file[..end - 700].to_vec(), damaged] {
            let mut plain = Reader::open(Cursor::new(file.clone())).unwrap();
            let wanted = all(&mut plain);
            let mut threaded = ahead(Reader::open(Cursor::new(file)).unwrap()).unwrap();
            assert!(wanted.1.is_some());
            assert!(all(&mut *threaded) == wanted, "{:?}", wanted.1);
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_further_gives_what_stands_before_and_then_the_error() {
        /// Fails for everything after an offset.
        struct Failing(Cursor<Vec<u8>>, u64);
        impl Read for Failing {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                if self.0.position() >= self.1 {
                    return Err(io::Error::other("a bad sector"));
                }
                let left = usize::try_from(self.1 - self.0.position()).unwrap();
                let bytes = out.len().min(left);
                self.0.read(&mut out[..bytes])
            }
        }
        impl Seek for Failing {
            fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
                self.0.seek(to)
            }
        }
        let file = Failing(Cursor::new(log(6000)), 1_500_000);
        let mut threaded = ahead(Reader::open(file).unwrap()).unwrap();
        let mut read = 0;
        let error = loop {
            match threaded.next_entry() {
                Ok(Some(_)) => read += 1,
                Ok(None) => panic!("it ended well"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.to_string(), "a bad sector");
        assert!(read > 1000, "{read}");
        assert!(threaded.verdict().is_none());
    }
}
