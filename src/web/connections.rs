//! The connections of an HTTP server, and what each of them may cost.
//!
//! A client is hostile until it has gone: the number of connections, of all and of one address, the bytes and the time
//! of a head, and the time of a connection as a whole are bounded. Who has no place waits in the backlog of the socket,
//! and who holds one loses it after a minute.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::limits::{
    WEB_CONNECTION_MS_MAX, WEB_CONNECTIONS_MAX, WEB_CONNECTIONS_PER_ADDRESS_MAX,
    WEB_HEAD_BYTES_MAX, WEB_HEADERS_MAX,
};

/// How long the server waits after the system has refused a connection, for descriptors to become free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a client has for the rest of an answer when its minute is over.
const FAREWELL: Duration = Duration::from_secs(5);

/// Connections by address.
#[derive(Clone, Default)]
struct Census {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place of an address; dropping it gives the place back.
struct Place {
    census: Census,
    address: IpAddr,
}

impl Census {
    /// A place, unless the address has all that it may have.
    fn enter(&self, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count == WEB_CONNECTIONS_PER_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        Some(Place { census: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.census.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Entry::Occupied(mut count) = counts.entry(self.address) else {
            unreachable!("an address with a place is counted");
        };
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

/// Serves whoever connects, for ever. `head_time`: for the head of a request.
pub async fn serve(listener: TcpListener, pages: Router, head_time: Duration) {
    let places = Arc::new(Semaphore::new(WEB_CONNECTIONS_MAX));
    let census = Census::default();
    loop {
        let seat = places.clone().acquire_owned().await.expect("it is never closed");
        let Ok((stream, remote)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Some(place) = census.enter(remote.ip()) else { continue };
        let connection = attend(stream, remote, pages.clone(), head_time);
        tokio::spawn(async move {
            connection.await;
            drop((seat, place));
        });
    }
}

async fn attend(stream: TcpStream, remote: SocketAddr, pages: Router, head_time: Duration) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_time)
        .max_buf_size(WEB_HEAD_BYTES_MAX)
        .max_headers(WEB_HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages));
    let mut connection = pin!(connection);
    let result = match timeout(Duration::from_millis(WEB_CONNECTION_MS_MAX), connection.as_mut())
        .await
    {
        Ok(result) => result,
        Err(_) => {
            connection.as_mut().graceful_shutdown();
            match timeout(FAREWELL, connection).await {
                Ok(result) => result,
                Err(_) => return tracing::debug!("{remote} reads its answer too slowly: closed"),
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!("the connection of {remote} failed: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let census = Census::default();
        let (one, other) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let mut places: Vec<_> = (0..).map_while(|_| census.enter(one)).collect();
        assert_eq!(places.len(), WEB_CONNECTIONS_PER_ADDRESS_MAX);
        let mapped = "::ffff:127.0.0.1".parse().unwrap();
        assert!(census.enter(mapped).is_none(), "it is the same address");
        assert!(census.enter(other).is_some());
        places.pop();
        assert!(census.enter(one).is_some());
        places.clear();
        assert!(census.counts.lock().unwrap().is_empty());
    }
}
