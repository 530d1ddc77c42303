//! Frames as canonical text: times and session ids become names, sets are sorted, everything else stays as the
//! server sent it.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use ringkeeper::jute::{DecodeError, Decoder, Jute, Vector};
use ringkeeper::proto::data::{AclVector, Stat};
use ringkeeper::proto::event::WatcherEvent;
use ringkeeper::proto::opcode::OpCode;
use ringkeeper::proto::response::{ClientInfo, MultiHeader, ReplyHeader};

const SHOWN_BYTES_MAX: usize = 48;

/// What is known of one server: the names that stand for its session ids and the times that belong to its zxids.
#[derive(Debug, Default)]
pub struct Names {
    sessions: HashMap<i64, String>,
    times: HashMap<i64, i64>,
    earliest_ms: i64,
    latest_ms: i64,
    /// Zxids of closed sessions: the order of their events is not fixed.
    closes: HashSet<i64>,
}

impl Names {
    /// No names yet; every time must be `earliest_ms` or later.
    pub fn new(earliest_ms: i64) -> Self {
        Names { earliest_ms, ..Names::default() }
    }

    /// No time may be later than this.
    pub fn set_latest(&mut self, latest_ms: i64) {
        self.latest_ms = latest_ms;
    }

    /// Gives a session id a name.
    pub fn name_session(&mut self, id: i64, name: String) {
        self.sessions.insert(id, name);
    }

    /// Notes that the events of this zxid come in any order.
    pub fn add_close(&mut self, zxid: i64) {
        self.closes.insert(zxid);
    }

    fn session(&self, id: i64) -> String {
        if id == 0 {
            return "0".to_owned();
        }
        self.sessions.get(&id).cloned().unwrap_or_else(|| format!("unknown 0x{id:x}"))
    }

    /// `t` if the time is the one that belongs to the zxid, else the time itself, which no other server will show.
    fn time(&mut self, zxid: i64, time: i64) -> String {
        if zxid == 0 || time == 0 {
            return if zxid == 0 && time == 0 {
                "0".to_owned()
            } else {
                format!("zxid {zxid} time {time}")
            };
        }
        if time < self.earliest_ms || time > self.latest_ms {
            return format!("{time} (outside of the run)");
        }
        let first = *self.times.entry(zxid).or_insert(time);
        if first == time { "t".to_owned() } else { format!("{time} (zxid 0x{zxid:x} had {first})") }
    }

    /// A Stat.
    pub fn stat(&mut self, stat: &Stat) -> String {
        let ctime = self.time(stat.czxid.0, stat.ctime);
        let mtime = self.time(stat.mzxid.0, stat.mtime);
        format!(
            "Stat{{c {} {ctime} m {} {mtime} p {} v {} cv {} av {} owner {} len {} children {}}}",
            stat.czxid,
            stat.mzxid,
            stat.pzxid,
            stat.version,
            stat.cversion,
            stat.aversion,
            self.session(stat.ephemeral_owner),
            stat.data_length,
            stat.num_children
        )
    }

    /// An event.
    pub fn event(&self, header: &ReplyHeader, body: &[u8]) -> (i64, String) {
        let text = match WatcherEvent::from_bytes(body) {
            Ok(event) => format!(
                "event zxid {} type {} state {} {:?}",
                header.zxid, event.event_type, event.state, event.path
            ),
            Err(error) => format!("event that cannot be decoded ({error}): {}", bytes(body)),
        };
        (header.zxid.0, text)
    }

    /// Sorts events that may come in any order.
    pub fn settle(&self, events: &mut [(i64, String)]) {
        let mut start = 0;
        while start < events.len() {
            let zxid = events[start].0;
            let end = events[start..]
                .iter()
                .position(|(other, _)| *other != zxid)
                .map_or(events.len(), |length| start + length);
            if self.closes.contains(&zxid) {
                events[start..end].sort_unstable();
            }
            start = end;
        }
    }

    /// A reply to a request with this opcode.
    pub fn reply(&mut self, op: i32, header: &ReplyHeader, body: &[u8]) -> String {
        let mut text = format!("reply xid {} zxid {} err {}", header.xid, header.zxid, header.err);
        // ZooKeeper: a multiRead that fails halfway answers with an error and the body built so far.
        if header.err == 0 || !body.is_empty() {
            let mut input = Decoder::new(body);
            match self.body(op, &mut input) {
                Ok(shown) => text += &shown,
                Err(error) => {
                    write!(text, " cannot be decoded ({error})").expect("writing to a String");
                    input = Decoder::new(body);
                }
            }
            if !input.is_empty() {
                write!(text, " + {}", bytes(input.rest())).expect("writing to a String");
            }
        }
        text
    }

    fn body(&mut self, op: i32, input: &mut Decoder<'_>) -> Result<String, DecodeError> {
        let Some(op) = OpCode::from_i32(op) else { return Ok(String::new()) };
        Ok(match op {
            OpCode::Create | OpCode::Sync => format!(" {:?}", Option::<&str>::decode(input)?),
            OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                let path = Option::<&str>::decode(input)?;
                format!(" {path:?} {}", self.stat(&Stat::decode(input)?))
            }
            OpCode::Exists | OpCode::SetData | OpCode::SetAcl => {
                format!(" {}", self.stat(&Stat::decode(input)?))
            }
            OpCode::GetData | OpCode::Reconfig => {
                let data = Option::<&[u8]>::decode(input)?;
                format!(" {} {}", nullable(data), self.stat(&Stat::decode(input)?))
            }
            OpCode::GetAcl => {
                let acl = acl(AclVector::decode(input)?);
                format!(" {acl} {}", self.stat(&Stat::decode(input)?))
            }
            OpCode::GetChildren | OpCode::GetEphemerals => format!(" {}", names(input)?),
            OpCode::GetChildren2 => {
                let names = names(input)?;
                format!(" {names} {}", self.stat(&Stat::decode(input)?))
            }
            OpCode::GetAllChildrenNumber | OpCode::AddWatch => format!(" {}", input.i32()?),
            OpCode::WhoAmI => {
                let mut infos: Vec<String> = Vector::<ClientInfo<'_>>::decode(input)?
                    .iter()
                    .map(|info| format!("{:?}:{:?}", info.auth_scheme, info.user))
                    .collect();
                infos.sort_unstable();
                format!(" {infos:?}")
            }
            OpCode::Multi | OpCode::MultiRead => self.multi(input)?,
            OpCode::Sasl => format!(" {}", nullable(Jute::decode(input)?)),
            OpCode::Notification
            | OpCode::Delete
            | OpCode::Ping
            | OpCode::Check
            | OpCode::CheckWatches
            | OpCode::RemoveWatches
            | OpCode::DeleteContainer
            | OpCode::Auth
            | OpCode::SetWatches
            | OpCode::SetWatches2
            | OpCode::CreateSession
            | OpCode::CloseSession
            | OpCode::Error => String::new(),
        })
    }

    fn multi(&mut self, input: &mut Decoder<'_>) -> Result<String, DecodeError> {
        let mut text = String::new();
        loop {
            let header = MultiHeader::decode(input)?;
            write!(text, "\n      {}/{}/{}", header.op, header.done, header.err)
                .expect("writing to a String");
            if header.done {
                return Ok(text);
            }
            let shown = match OpCode::from_i32(header.op) {
                Some(OpCode::Error) => format!(" {}", input.i32()?),
                Some(op) => self.body(op.number(), input)?,
                None => " an opcode that does not exist".to_owned(),
            };
            text += &shown;
        }
    }
}

/// The name of the sequential node in a reply to create, if it is one.
pub fn created_path(op: i32, body: &[u8]) -> Option<String> {
    let op = OpCode::from_i32(op)?;
    if !matches!(op, OpCode::Create | OpCode::Create2 | OpCode::CreateTtl) {
        return None;
    }
    let path = Option::<&str>::from_bytes(body).ok()??;
    let digits = path.get(path.len().checked_sub(10)?..)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| path.to_owned())
}

fn names(input: &mut Decoder<'_>) -> Result<String, DecodeError> {
    let list = Vector::<Option<&str>>::decode(input)?;
    if list.is_null() {
        return Ok("null".to_owned());
    }
    let mut names: Vec<&str> = list.iter().map(|name| name.unwrap_or("<null>")).collect();
    names.sort_unstable();
    Ok(format!("{names:?}"))
}

fn acl(acl: AclVector<'_>) -> String {
    if acl.is_null() {
        return "null".to_owned();
    }
    let mut entries: Vec<String> = acl
        .iter()
        .map(|entry| format!("{} {:?}:{:?}", entry.perms, entry.id.scheme, entry.id.id))
        .collect();
    entries.sort_unstable();
    format!("{entries:?}")
}

fn nullable(data: Option<&[u8]>) -> String {
    data.map_or_else(|| "null".to_owned(), bytes)
}

/// Short byte strings as text, long ones as length and hash (FNV-1a).
pub fn bytes(bytes: &[u8]) -> String {
    if bytes.len() <= SHOWN_BYTES_MAX {
        return format!("b\"{}\"", bytes.escape_ascii());
    }
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("<{} bytes, {hash:016x}>", bytes.len())
}
