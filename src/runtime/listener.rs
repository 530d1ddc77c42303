//! Finds the process that listens on a port of this machine, for an operator who has to stop it.
//!
//! Read from `/proc`, as `ss -ltnp` does. Only root sees processes of other users, and a process in a
//! container does not see those outside.

use std::fs;
use std::path::Path;

/// A process, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its program.
    pub name: String,
}

/// The process that listens on a TCP port at any address; `None`: there is none, or it is not visible.
pub fn listener_on(port: u16) -> Option<Process> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let sockets: Vec<String> = tables
        .into_iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, port))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let holds = fs::read_dir(process.path().join("fd")).ok()?.flatten().any(|fd| {
            let is_one = |at: &Path| sockets.iter().any(|socket| at.as_os_str() == socket.as_str());
            fs::read_link(fd.path()).is_ok_and(|at| is_one(&at))
        });
        let name = || fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        holds.then(|| Process { pid, name: name().trim().to_owned() })
    })
}

/// The sockets in a table of the kernel that listen on a port, by the link targets of their descriptors.
fn listening(table: &str, port: u16) -> Vec<String> {
    /// TCP_LISTEN.
    const LISTENS: &str = "0A";
    let of_line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, of) = fields.get(1)?.rsplit_once(':')?;
        let is_it = u16::from_str_radix(of, 16) == Ok(port) && *fields.get(3)? == LISTENS;
        is_it.then_some(format!("socket:[{}]", fields.get(9)?))
    };
    table.lines().filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn who_listens_is_found_and_who_is_connected_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let client = TcpStream::connect(at).unwrap();
        let found = listener_on(at.port()).unwrap();
        assert_eq!(found.pid, std::process::id());
        assert!(!found.name.is_empty());
        assert_eq!(listener_on(client.local_addr().unwrap().port()), None);
    }

    #[test]
    fn a_line_of_another_form_is_passed_over() {
        let good =
            "0: 0100007F:0885 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 77 1";
        for (line, found) in [
            (good, vec!["socket:[77]".to_owned()]),
            (&good.replace("0A", "01")[..], vec![]),
            (&good.replace("0885", "0886")[..], vec![]),
            ("", vec![]),
            ("sl local_address rem_address st", vec![]),
            ("0: 0100007F:0885 00000000:0000 0A", vec![]),
        ] {
            assert_eq!(listening(line, 2181), found, "{line}");
        }
    }
}
