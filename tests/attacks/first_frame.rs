//! Clients announce a frame and never finish it: without a session, when a frame may not be longer than a connect
//! request, and with one.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ringkeeper_testkit::Config;

use crate::harness::{Bounds, alone};
use crate::raw::{self, dial};

/// The wirings under test: everything on one executor, and session cores.
const CORES: [&str; 2] = ["ringkeeper.cores=1", "ringkeeper.cores=3"];

/// Whether the server closes the connection within a while.
fn is_closed(mut socket: &TcpStream) -> bool {
    socket.set_read_timeout(Some(raw::PATIENCE)).unwrap();
    let mut chunk = [0; 4096];
    loop {
        match socket.read(&mut chunk) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn a_first_frame_longer_than_any_connect_request_is_refused_unread() {
    for cores in CORES {
        // The frame is as long as the longest request, and the client sends all of it except the last byte.
        let config = Config::new().line(cores).line("maxClientCnxns=0");
        let bytes = 1_000_000_usize;
        let mut frame = i32::try_from(bytes).unwrap().to_be_bytes().to_vec();
        frame.resize(bytes + 3, 7);
        let name = format!("80 first frames of 1 MB, {cores}");
        let server = alone(&name, config, Bounds::memory(24 << 20), |at| {
            let mut sockets: Vec<TcpStream> = (0..80).map(|_| dial(at)).collect();
            for socket in &mut sockets {
                // The server may close the connection in the middle.
                let _ = socket.write_all(&frame);
            }
            let begun = Instant::now();
            let closed = sockets.iter().filter(|socket| is_closed(socket)).count();
            assert_eq!(closed, sockets.len());
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
            "closed at once".to_owned()
        });
        let log = server.log_tail(200);
        assert!(log.contains("its first frame is to have 1000000 bytes"), "{log}");
    }
}

#[test]
fn who_connects_and_says_nothing_or_half_a_frame_is_closed() {
    for cores in CORES {
        let config = Config::new()
            .line(cores)
            .line("maxClientCnxns=0")
            .line("nio.sessionlessCnxnTimeout=500");
        let name = format!("500 silent peers, {cores}");
        alone(&name, config, Bounds::memory(32 << 20), |at| {
            let mut sockets: Vec<TcpStream> = (0..500).map(|_| dial(at)).collect();
            for socket in sockets.iter_mut().step_by(2) {
                socket.write_all(&raw::connect_frame(10_000)[..20]).unwrap();
            }
            let closed = sockets.iter().filter(|socket| is_closed(socket)).count();
            assert_eq!(closed, sockets.len());
            "closed".to_owned()
        });
    }
}
