//! A network of hosts on one machine whose packets all pass through the test: it delays them, loses them, and cuts
//! links, one way or both, at any moment.
//!
//! Each host is a network namespace with one TUN device. A thread of this process reads each packet that a host
//! sends, looks up the link from that host to the receiver, and delivers or drops the packet. So both ends see a cut
//! as they see a broken switch: silence, no error, connections that hang. The network needs only the TUN driver and
//! `ip`, and does not touch the machine's own network; namespaces and devices vanish with their last user.
//!
//! Only root can use it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ffi::c_int;
use std::fs::{File, OpenOptions};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{self, Errno};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// The most bytes of a packet, with any header that the driver may put before it.
const PACKET_BYTES_MAX: usize = 65_600;
const POLL_MS: i64 = 100;
/// The bytes of the name in struct ifreq, and of the whole struct.
const NAME_BYTES: usize = 16;
const REQUEST_BYTES: usize = 40;
/// linux/if_tun.h: a device for IP packets, and no header of the driver before each packet.
const IFF_TUN: u16 = 0x0001;
const IFF_NO_PI: u16 = 0x1000;
const TUNSETIFF: rustix::ioctl::Opcode = rustix::ioctl::opcode::write::<c_int>(b'T', 202);
const DEVICE: &str = "tun0";

/// The link from one host to another, in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Whether anything passes.
    pub up: bool,
    /// How long a packet takes.
    pub delay: Duration,
    /// How many of a thousand packets are lost.
    pub lost_per_mille: u32,
}

impl Link {
    /// Passes everything at once.
    pub const GOOD: Link = Link { up: true, delay: Duration::ZERO, lost_per_mille: 0 };
    /// Passes nothing.
    pub const CUT: Link = Link { up: false, delay: Duration::ZERO, lost_per_mille: 0 };

    /// A long way on which some packets are lost.
    pub fn bad(delay: Duration, lost_per_mille: u32) -> Self {
        Link { up: true, delay, lost_per_mille }
    }
}

/// A network namespace. It lives while this value or a process in the namespace does.
#[derive(Debug, Clone)]
pub struct Namespace(Arc<OwnedFd>);

impl Namespace {
    fn new() -> Self {
        thread::spawn(|| {
            // SAFETY: a new network namespace leaves memory and file descriptors as they are; only this thread,
            // which ends here, is in it.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
                .expect("a network namespace: these tests must run as root");
            let file = File::open("/proc/thread-self/ns/net").expect("this thread's namespace");
            Namespace(Arc::new(file.into()))
        })
        .join()
        .expect("a network namespace, see the panic above")
    }

    /// Moves the calling thread into the namespace. Threads and processes that it starts later are in it as well.
    pub fn enter(&self) {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("moving into a namespace");
    }

    /// Runs `inside` in the namespace, on a thread of its own.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter();
                inside()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

#[derive(Debug)]
struct Host {
    namespace: Namespace,
    device: OwnedFd,
}

/// Hosts numbered from 0, with a link from each to each; the last one is for the clients.
#[derive(Debug)]
pub struct Network {
    switch: Arc<Switch>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Switch {
    hosts: Vec<Host>,
    /// By sender and receiver.
    links: Mutex<Vec<Vec<Link>>>,
    delayed: Mutex<BinaryHeap<Reverse<Delayed>>>,
    more_delayed: Condvar,
    sent: AtomicU64,
    stopping: AtomicBool,
}

/// A packet under way. Packets are ordered by the time of delivery, then by the order of sending: equal delays do
/// not reorder them.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Delayed {
    due: Instant,
    number: u64,
    to: usize,
    packet: Vec<u8>,
}

impl Network {
    /// Hosts for servers, and one more for clients. All links are good.
    ///
    /// # Panics
    /// If the caller is not root, or `/dev/net/tun` or `ip` is missing.
    pub fn new(servers: usize) -> Self {
        let hosts: Vec<Host> = (0..=servers).map(Host::new).collect();
        let count = hosts.len();
        let switch = Arc::new(Switch {
            hosts,
            links: Mutex::new(vec![vec![Link::GOOD; count]; count]),
            delayed: Mutex::new(BinaryHeap::new()),
            more_delayed: Condvar::new(),
            sent: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        });
        let mut threads: Vec<_> = (0..count)
            .map(|from| {
                let switch = switch.clone();
                thread::spawn(move || switch.read(from))
            })
            .collect();
        let later = switch.clone();
        threads.push(thread::spawn(move || later.deliver()));
        Network { switch, threads }
    }

    /// Moves the calling thread into the clients' host, and with it the threads that it starts afterwards.
    pub fn enter(&self) {
        self.switch.hosts[self.clients()].namespace.enter();
    }

    /// The number of the clients' host.
    pub fn clients(&self) -> usize {
        self.switch.hosts.len() - 1
    }

    /// A host's address.
    pub fn address(&self, host: usize) -> Ipv4Addr {
        address(host)
    }

    /// A host's namespace.
    pub fn namespace(&self, host: usize) -> Namespace {
        self.switch.hosts[host].namespace.clone()
    }

    /// Sets one direction. Packets already under way still arrive.
    pub fn set(&self, from: usize, to: usize, link: Link) {
        self.switch.links()[from][to] = link;
    }

    /// Sets both directions.
    pub fn set_both(&self, one: usize, other: usize, link: Link) {
        self.set(one, other, link);
        self.set(other, one, link);
    }

    /// Sets all links between a server and the other servers, both ways; the clients still reach all.
    pub fn set_around(&self, server: usize, link: Link) {
        for other in (0..self.clients()).filter(|other| *other != server) {
            self.set_both(server, other, link);
        }
    }

    /// Sets all links between servers.
    pub fn set_all(&self, link: Link) {
        (0..self.clients()).for_each(|server| self.set_around(server, link));
    }

    /// Makes all links good again.
    pub fn heal(&self) {
        for links in self.switch.links().iter_mut() {
            links.fill(Link::GOOD);
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.switch.stopping.store(true, Ordering::Relaxed);
        self.switch.more_delayed.notify_all();
        for thread in self.threads.drain(..) {
            // A panic there has been printed; another one here would hide the test's own.
            let _ = thread.join();
        }
    }
}

impl Host {
    fn new(number: usize) -> Self {
        let namespace = Namespace::new();
        let device = namespace.run(|| {
            let device = open_device();
            let address = format!("{}/24", address(number));
            ip(&["link", "set", "lo", "up"]);
            ip(&["addr", "add", &address, "dev", DEVICE]);
            ip(&["link", "set", DEVICE, "up"]);
            device
        });
        Host { namespace, device }
    }
}

impl Switch {
    fn links(&self) -> MutexGuard<'_, Vec<Vec<Link>>> {
        self.links.lock().expect("no thread panics with the links in hand")
    }

    /// Passes on what one host sends, until the network ends.
    fn read(&self, from: usize) {
        let device = self.hosts[from].device.as_fd();
        let mut random = from as u64;
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        let wait = Timespec { tv_sec: 0, tv_nsec: POLL_MS * 1_000_000 };
        while !self.stopping.load(Ordering::Relaxed) {
            match io::read(device, &mut buffer) {
                Ok(length) => self.pass(from, &buffer[..length], &mut random),
                Err(Errno::AGAIN) => {
                    let mut wanted = [PollFd::new(&device, PollFlags::IN)];
                    // A signal or the end of the wait: look again.
                    let _ = poll(&mut wanted, Some(&wait));
                }
                Err(Errno::INTR) => {}
                Err(error) => panic!("reading from host {from}: {error}"),
            }
        }
    }

    fn pass(&self, from: usize, packet: &[u8], random: &mut u64) {
        let Some(to) = self.receiver(packet) else { return };
        let link = self.links()[from][to];
        if !link.up || next(random) % 1000 < u64::from(link.lost_per_mille) {
            return;
        }
        if link.delay.is_zero() {
            self.write(to, packet);
            return;
        }
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let delayed =
            Delayed { due: Instant::now() + link.delay, number, to, packet: packet.to_vec() };
        self.delayed.lock().expect("no thread panics with it in hand").push(Reverse(delayed));
        self.more_delayed.notify_one();
    }

    /// The host that an IPv4 packet is for; other packets (IPv6's search for neighbours) go nowhere.
    fn receiver(&self, packet: &[u8]) -> Option<usize> {
        let receiver: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
        let receiver = Ipv4Addr::from(receiver);
        let ipv4 = packet[0] >> 4 == 4;
        (0..self.hosts.len()).find(|host| ipv4 && address(*host) == receiver)
    }

    /// Delivers a packet to a host. A host whose queue is full loses the packet, as on any network.
    fn write(&self, to: usize, packet: &[u8]) {
        let _ = io::write(self.hosts[to].device.as_fd(), packet);
    }

    fn deliver(&self) {
        let mut delayed = self.delayed.lock().expect("no thread panics with it in hand");
        while !self.stopping.load(Ordering::Relaxed) {
            let now = Instant::now();
            let wait = match delayed.peek() {
                Some(Reverse(first)) if first.due <= now => {
                    let Reverse(due) = delayed.pop().expect("there is a first one");
                    self.write(due.to, &due.packet);
                    continue;
                }
                Some(Reverse(first)) => first.due - now,
                None => Duration::from_secs(1),
            };
            let woken = self.more_delayed.wait_timeout(delayed, wait);
            delayed = woken.expect("no thread panics with it in hand").0;
        }
    }
}

fn address(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, u8::try_from(host + 1).expect("few hosts"))
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .expect("`ip`, of the package iproute2: run `cargo xtask setup`");
    assert!(
        output.status.success(),
        "ip {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A TUN device in the calling thread's namespace. The device vanishes when the file descriptor is closed.
fn open_device() -> OwnedFd {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .expect("/dev/net/tun: these tests must run as root on a machine with the TUN driver");
    let device = OwnedFd::from(file);
    let mut request = [0_u8; REQUEST_BYTES];
    request[..DEVICE.len()].copy_from_slice(DEVICE.as_bytes());
    request[NAME_BYTES..NAME_BYTES + 2].copy_from_slice(&(IFF_TUN | IFF_NO_PI).to_ne_bytes());
    // SAFETY: TUNSETIFF reads a struct ifreq, which is 40 bytes with the name first and the flags behind it, and
    // keeps no reference to it.
    let made = unsafe {
        rustix::ioctl::ioctl(
            &device,
            rustix::ioctl::Setter::<TUNSETIFF, [u8; REQUEST_BYTES]>::new(request),
        )
    };
    made.expect("a TUN device: these tests must run as root");
    rustix::io::ioctl_fionbio(&device, true).expect("a device that does not block");
    device
}

/// splitmix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use super::*;

    const WAIT: Duration = Duration::from_millis(300);

    #[test]
    fn packets_pass_wait_and_vanish_as_the_links_say() {
        let network = Network::new(2);
        let listener = network.namespace(0).run(|| {
            TcpListener::bind(SocketAddr::from((network.address(0), 4000))).expect("a listener")
        });
        let at = listener.local_addr().expect("its address");
        let mut from_client = network
            .namespace(network.clients())
            .run(|| TcpStream::connect_timeout(&at, WAIT * 20).expect("a connection"));
        let (mut served, _) = listener.accept().expect("the connection");
        let mut byte = [0];

        from_client.write_all(b"1").expect("a byte");
        served.read_exact(&mut byte).expect("the byte");

        let way = Duration::from_millis(60);
        network.set_both(0, network.clients(), Link::bad(way, 0));
        let begun = Instant::now();
        from_client.write_all(b"2").expect("a byte");
        served.read_exact(&mut byte).expect("the byte");
        assert!(begun.elapsed() >= way, "{:?}", begun.elapsed());

        network.set(network.clients(), 0, Link::CUT);
        served.set_read_timeout(Some(WAIT)).expect("a time-out above zero");
        from_client.write_all(b"3").expect("a byte that goes nowhere");
        assert!(served.read_exact(&mut byte).is_err(), "nothing passes a cut");

        network.heal();
        served.set_read_timeout(Some(WAIT * 30)).expect("a time-out above zero");
        served.read_exact(&mut byte).expect("TCP sends it again");
        assert_eq!(byte, *b"3");
    }
}
