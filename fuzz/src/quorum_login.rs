//! A login between servers: the bytes of a stranger, to the side that accepts and to the side that connects.

use ringkeeper::sasl::between::{AcceptedLogin, Account, OpenedLogin, PeerLogins, Progress};
use ringkeeper::sasl::digest_md5::{Service, Users};
use ringkeeper::sasl::jaas::JaasFile;
use ringkeeper::sasl::{Mechanism, NonceKey, Nonces, Secret};

use super::seeds::Seeds;

const FILE: &[u8] = b"QuorumServer { m required user_zk=\"swordfish\"; };";

fn how(is_demanded: bool) -> PeerLogins {
    let file = JaasFile::read(FILE).expect("a whole file");
    let users =
        Users::of_section(Service::SERVERS, file.section("QuorumServer").expect("it is there"));
    let own = Account::DigestMd5 { name: "zk".into(), password: Secret::new("swordfish") };
    PeerLogins {
        accepted: Mechanism::DigestMd5(users),
        is_demanded,
        own: Some(own),
        nonce_key: NonceKey::new([7; 32]),
    }
}

/// The first byte: whether a login is demanded, and how long the pieces are in which the rest arrives.
pub fn run(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else { return };
    let how = how(first & 1 == 1);
    let piece = usize::from(first >> 1).max(1);
    let accepted = |piece: usize| {
        let mut nonces = Nonces::new(how.nonce_key.clone());
        let (mut login, mut answer) = (AcceptedLogin::new(nonces.draw()), Vec::new());
        fed(bytes, piece, |bytes| login.handle(&how, bytes, &mut answer))
    };
    match accepted(piece) {
        (Progress::Passed { name, rest }, at) => {
            assert_eq!(name, None, "a stranger has logged in");
            assert!(!how.is_demanded, "a stranger passes");
            assert_eq!(rest, bytes[..at], "what is not of a login is the owner's");
        }
        (Progress::Asks(_), _) => panic!("the edge has no part in DIGEST-MD5"),
        (Progress::Pending | Progress::Refused(_), _) => {}
    }
    let whole = accepted(bytes.len().max(1)).0;
    assert_eq!(is_refused(&accepted(piece).0), is_refused(&whole), "the pieces do not matter");
    let opened = |piece: usize| {
        let mut nonces = Nonces::new(how.nonce_key.clone());
        let own = how.own.as_ref().expect("it logs in");
        let (mut login, first) = OpenedLogin::begin(own, nonces.draw());
        assert_eq!(first.len(), 16, "nothing is shown before the other side has spoken");
        let mut answer = Vec::new();
        let outcome = fed(bytes, piece, |bytes| login.handle(bytes, &mut answer)).0;
        assert!(!matches!(outcome, Progress::Passed { .. }), "a stranger is believed");
        let shown = String::from_utf8_lossy(&answer);
        assert!(!shown.contains("swordfish"), "the password is on the wire");
        outcome
    };
    assert_eq!(opened(piece), opened(bytes.len().max(1)), "the pieces do not matter");
}

fn is_refused(progress: &Progress) -> Option<&ringkeeper::sasl::between::Refusal> {
    match progress {
        Progress::Refused(refusal) => Some(refusal),
        Progress::Pending | Progress::Passed { .. } | Progress::Asks(_) => None,
    }
}

/// The first outcome, and how many bytes it took.
fn fed(bytes: &[u8], piece: usize, mut handle: impl FnMut(&[u8]) -> Progress) -> (Progress, usize) {
    let mut taken = 0;
    for bytes in bytes.chunks(piece) {
        taken += bytes.len();
        let progress = handle(bytes);
        if progress != Progress::Pending {
            return (progress, taken);
        }
    }
    (Progress::Pending, taken)
}

/// The hand-made seeds: packets of both sides, and bytes that are none.
pub fn seeds() -> Seeds {
    let packet = |status: i32, token: &[u8]| {
        let mut bytes = 0x5F24_3501_3501_EDCC_i64.to_be_bytes().to_vec();
        bytes.extend(status.to_be_bytes());
        bytes.extend(i32::try_from(token.len()).expect("a short token").to_be_bytes());
        bytes.extend(token);
        bytes
    };
    let response = b"charset=utf-8,username=\"zk\",realm=\"zk-quorum-sasl-md5\",nonce=\"n\",nc=00000001,\
        cnonce=\"c\",digest-uri=\"zookeeper-quorum/zk-quorum-sasl-md5\",maxbuf=65536,response=00,qop=auth";
    let challenge = b"realm=\"zk-quorum-sasl-md5\",nonce=\"n\",charset=utf-8,algorithm=md5-sess";
    let with = |first: u8, parts: &[&[u8]]| [&[first][..], &parts.concat()].concat();
    vec![
        ("response".into(), with(0x81, &[&packet(0, b""), &packet(0, response)])),
        ("challenge".into(), with(1, &[&packet(0, challenge), &packet(1, b"rspauth=00")])),
        ("success".into(), with(3, &[&packet(1, challenge)])),
        ("error".into(), with(0, &[&packet(-1, b""), b"rest"])),
        ("long".into(), with(7, &[&packet(0, b"")[..12], &[0x7f, 0xff, 0xff, 0xff]])),
        ("none".into(), with(2, &[&packet(0, b"")[..12], &[0xff; 4]])),
        ("follower".into(), with(0, &[b"\0\0\0\x0b\0\0\0\0\0\0\0\0\0\0\0\x14"])),
        ("half".into(), with(9, &[&packet(0, b"")[..7]])),
        ("nothing".into(), Vec::new()),
    ]
}
