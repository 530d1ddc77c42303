//! Messages on the election port: the handshake and the notifications.

use ringkeeper::jute::{Decoder, Jute};
use ringkeeper::proto::quorum::{ElectionHandshake, Notification};

/// The first byte chooses the message.
pub fn run(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else { return };
    let mut input = Decoder::new(data);
    if choice % 2 == 0 {
        let Some((handshake, read, encoded)) = round_trip!(ElectionHandshake<'_>, &mut input)
        else {
            return;
        };
        if let ElectionHandshake::Initial { addresses, .. } = handshake {
            assert!(!addresses.is_empty() && addresses.len() <= 2048);
        }
        assert_eq!(encoded, read, "a handshake has one form");
    } else {
        let start = input;
        let Ok(notification) = Notification::decode(&mut input) else { return };
        // The encoder writes an empty configuration where an old server left it out.
        let whole = Notification { config: notification.config.or(Some(&[])), ..notification };
        let encoded = notification.to_bytes();
        assert_eq!(Notification::from_bytes(&encoded), Ok(whole), "not what was encoded");
        // A message of 28 bytes has no peer epoch and no version, and reads as if it had the epoch of its zxid.
        if input.since(&start).len() == 28 {
            assert_eq!(notification.peer_epoch, notification.zxid.epoch());
        }
        assert!(notification.config.is_none_or(|config| config.len() <= 512 * 1024));
    }
}
