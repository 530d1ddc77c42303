//! Sessions that clients resume, and the certificates that they have shown before.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustls::HandshakeKind;

use super::*;

#[test]
fn a_session_goes_on_only_while_the_certificate_is_accepted_that_was_shown_in_it() {
    for version in rustls::ALL_VERSIONS {
        let mut config = server_config(true, &[version]);
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
        let (accepts, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU32::new(0)));
        let (answer, counter) = (accepts.clone(), asked.clone());
        let check_again = move |shown: &[CertificateDer<'_>]| {
            assert_eq!(shown, std::slice::from_ref(&AUTHORITY.client.0));
            counter.fetch_add(1, Ordering::Relaxed);
            answer.load(Ordering::Relaxed).then_some(()).ok_or("it has expired".to_owned())
        };
        let mut bench = Bench::new(config);
        let port = Arc::get_mut(&mut bench.port).unwrap();
        port.check_again = Box::new(check_again);
        let client = client_config(true, &[version]);
        let visit = |kind| {
            bench.core.frames.take();
            let (connection, mut client) = bench.secure_with(client.clone());
            bench.shake(&mut client);
            client.send(&frame(40));
            assert_eq!(client.tls.handshake_kind(), Some(kind));
            bench.until(&mut client, "an end", |it| connection.is_known() || it.was_told);
            // The tickets come behind it.
            (0..3).for_each(|_| {
                client.work();
                bench.turn();
            });
            connection.is_known()
        };
        assert!(visit(HandshakeKind::Full) && asked.load(Ordering::Relaxed) == 0);
        assert!(visit(HandshakeKind::Resumed) && asked.load(Ordering::Relaxed) == 1);
        accepts.store(false, Ordering::Relaxed);
        assert!(!visit(HandshakeKind::Resumed), "nothing else tells that it has expired");
        assert_eq!((asked.load(Ordering::Relaxed), bench.core.opened.get()), (2, 2));
        assert_eq!(bench.core.certified.borrow().len(), 2);
    }
}
