//! The table compared with a list of watches, and its quirks one by one.

use proptest::prelude::*;

use super::*;
use crate::tree::HASHED_BYTES;

const ONE: ConnectionId = ConnectionId(1);
const TWO: ConnectionId = ConnectionId(2);

fn fire(table: &mut WatchTable, path: &str, kind: WatchKind) -> Vec<u64> {
    let mut receivers = Vec::new();
    table.fire(path, kind, false, &mut receivers);
    receivers.iter().map(|receiver| receiver.0).collect()
}

#[test]
fn a_firing_hashes_a_path_of_many_parts_once() {
    let mut table = WatchTable::default();
    let path = format!("/{}", "a".repeat(199)).repeat(100);
    for watched in ["/", &path[..600], &path[..10_000]] {
        table.add_mode(watched, ONE, WatchMode::PersistentRecursive).unwrap();
    }
    table.add_mode(&path[..4000], TWO, WatchMode::PersistentRecursive).unwrap();
    let before = HASHED_BYTES.get();
    assert_eq!(fire(&mut table, &path, WatchKind::Data), [1, 2]);
    let hashed = HASHED_BYTES.get() - before;
    assert!(hashed < 4 * path.len(), "{hashed} bytes hashed for a path of {}", path.len());
}

/// ZooKeeper's two tables as one list.
#[derive(Default)]
struct Naive {
    watches: Vec<(String, ConnectionId, WatchKind, WatchMode)>,
}

impl Naive {
    fn add(&mut self, path: &str, connection: ConnectionId, kind: WatchKind, mode: WatchMode) {
        let watch = (path.to_owned(), connection, kind, mode);
        if !self.watches.contains(&watch) {
            self.watches.push(watch);
        }
    }

    fn fire(&mut self, path: &str, kind: WatchKind) -> Vec<u64> {
        let mut receivers: Vec<u64> = self
            .watches
            .iter()
            .filter(|(at, _, in_kind, mode)| {
                let below = *at == "/" || path.starts_with(&format!("{at}/"));
                *in_kind == kind
                    && (at == path || (below && *mode == WatchMode::PersistentRecursive))
            })
            .map(|(_, connection, _, _)| connection.0)
            .collect();
        receivers.sort_unstable();
        receivers.dedup();
        self.watches.retain(|(at, _, in_kind, mode)| {
            at != path || *in_kind != kind || *mode != WatchMode::Standard
        });
        receivers
    }

    fn is_wanted(
        watch: &(String, ConnectionId, WatchKind, WatchMode),
        wanted: WatcherType,
    ) -> bool {
        let (_, _, kind, mode) = watch;
        match wanted {
            WatcherType::Any => true,
            WatcherType::Data => *kind == WatchKind::Data && *mode == WatchMode::Standard,
            WatcherType::Children => *kind == WatchKind::Child && *mode == WatchMode::Standard,
            WatcherType::Persistent => *mode == WatchMode::Persistent,
            WatcherType::PersistentRecursive => *mode == WatchMode::PersistentRecursive,
        }
    }

    fn contains(&self, path: &str, connection: ConnectionId, wanted: WatcherType) -> bool {
        self.watches
            .iter()
            .any(|watch| watch.0 == path && watch.1 == connection && Self::is_wanted(watch, wanted))
    }

    fn remove(&mut self, path: &str, connection: ConnectionId, wanted: WatcherType) -> bool {
        let before = self.watches.len();
        self.watches.retain(|watch| {
            watch.0 != path || watch.1 != connection || !Self::is_wanted(watch, wanted)
        });
        self.watches.len() < before
    }

    /// The distinct watches: all modes of one connection on one path in one table are one watch.
    fn pairs(&self) -> Vec<(&str, ConnectionId, WatchKind)> {
        let mut pairs: Vec<_> = self
            .watches
            .iter()
            .map(|(path, connection, kind, _)| (path.as_str(), *connection, *kind))
            .collect();
        pairs.sort_unstable_by_key(|(path, connection, kind)| {
            (path.to_owned(), connection.0, *kind as u8)
        });
        pairs.dedup();
        pairs
    }
}

const PATHS: [&str; 6] = ["/", "/a", "/a/b", "/a/b/c", "/ab", "/a/d"];
const TYPES: [WatcherType; 5] = [
    WatcherType::Children,
    WatcherType::Data,
    WatcherType::Any,
    WatcherType::Persistent,
    WatcherType::PersistentRecursive,
];

fn check(table: &WatchTable, naive: &Naive) {
    let pairs = naive.pairs();
    assert_eq!(table.len(), pairs.len());
    assert_eq!(table.is_empty(), pairs.is_empty());
    let mut names: Vec<&str> = pairs.iter().map(|(path, ..)| *path).collect();
    names.dedup();
    let names: u64 = names.iter().map(|name| PATH_BYTES + name.len() as u64).sum();
    assert_eq!(table.held_bytes(), pairs.len() as u64 * WATCH_BYTES + names);
    let data = || pairs.iter().filter(|(_, _, kind)| *kind == WatchKind::Data);
    let mut by_path: Vec<(String, u64)> = Vec::new();
    table.for_each_path(&mut |path, connections| {
        by_path.extend(connections.map(|connection| (path.to_owned(), connection.0)));
    });
    by_path.sort_unstable();
    let expected: Vec<(String, u64)> =
        data().map(|(path, connection, _)| ((*path).to_owned(), connection.0)).collect();
    assert_eq!(by_path, expected);
    let mut by_connection: Vec<(String, u64)> = Vec::new();
    table.for_each_connection(&mut |connection, paths| {
        by_connection.extend(paths.map(|path| (path.to_owned(), connection.0)));
    });
    by_connection.sort_unstable();
    assert_eq!(by_connection, expected);
    let mut paths: Vec<&str> = data().map(|(path, _, _)| *path).collect();
    paths.dedup();
    let mut connections: Vec<u64> = data().map(|(_, connection, _)| connection.0).collect();
    connections.sort_unstable();
    connections.dedup();
    let counts =
        WatchCounts { connections: connections.len(), paths: paths.len(), watches: expected.len() };
    assert_eq!(table.counts(), counts);
    for path in PATHS {
        for connection in (0..5).map(ConnectionId) {
            for wanted in TYPES {
                let expected = naive.contains(path, connection, wanted);
                assert_eq!(table.contains(path, connection, wanted), expected);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_table_is_what_the_list_is(
        draws in proptest::collection::vec((0u8..12, 0usize..6, 0u64..5, 0usize..5), 1..120),
    ) {
        let mut table = WatchTable::new(1, WatchBounds::default());
        let mut naive = Naive::default();
        for (what, path, connection, which) in draws {
            let (path, connection) = (PATHS[path], ConnectionId(connection));
            match what {
                0 | 1 => {
                    table.add(path, connection, WatchKind::Data).unwrap();
                    naive.add(path, connection, WatchKind::Data, WatchMode::Standard);
                }
                2 | 3 => {
                    table.add(path, connection, WatchKind::Child).unwrap();
                    naive.add(path, connection, WatchKind::Child, WatchMode::Standard);
                }
                4 | 5 => {
                    table.add_mode(path, connection, WatchMode::Persistent).unwrap();
                    naive.add(path, connection, WatchKind::Data, WatchMode::Persistent);
                    naive.add(path, connection, WatchKind::Child, WatchMode::Persistent);
                }
                6 => {
                    table.add_mode(path, connection, WatchMode::PersistentRecursive).unwrap();
                    naive.add(path, connection, WatchKind::Data, WatchMode::PersistentRecursive);
                }
                7 => {
                    let wanted = TYPES[which];
                    let removed = table.remove(path, connection, wanted);
                    prop_assert_eq!(removed, naive.remove(path, connection, wanted));
                }
                8 => {
                    table.remove_connection(connection);
                    naive.watches.retain(|watch| watch.1 != connection);
                    table.remove_gone(usize::MAX);
                }
                _ => {
                    let kind = if what == 9 { WatchKind::Child } else { WatchKind::Data };
                    let mut receivers = fire(&mut table, path, kind);
                    receivers.sort_unstable();
                    prop_assert_eq!(receivers, naive.fire(path, kind));
                }
            }
            check(&table, &naive);
        }
    }
}

#[test]
fn watches_of_one_path_fire_in_the_order_in_which_they_were_set() {
    let mut table = WatchTable::default();
    for connection in [5, 3, 9, 1, 3] {
        table.add("/a", ConnectionId(connection), WatchKind::Data).unwrap();
    }
    assert_eq!(fire(&mut table, "/a", WatchKind::Data), [5, 3, 9, 1]);
    assert_eq!(fire(&mut table, "/a", WatchKind::Data), [0u64; 0]);
}

#[test]
fn a_standard_watch_beside_a_persistent_one_is_used_up_alone() {
    let mut table = WatchTable::default();
    table.add("/a", ONE, WatchKind::Data).unwrap();
    table.add_mode("/a", ONE, WatchMode::Persistent).unwrap();
    assert_eq!(fire(&mut table, "/a", WatchKind::Data), [1]);
    assert!(!table.contains("/a", ONE, WatcherType::Data));
    assert!(table.contains("/a", ONE, WatcherType::Persistent));
    assert_eq!(fire(&mut table, "/a", WatchKind::Data), [1]);
}

#[test]
fn a_firing_that_goes_on_tells_nobody_twice() {
    let mut table = WatchTable::default();
    table.add("/a", ONE, WatchKind::Data).unwrap();
    table.add("/a", ONE, WatchKind::Child).unwrap();
    table.add("/a", TWO, WatchKind::Child).unwrap();
    let mut receivers = Vec::new();
    table.fire("/a", WatchKind::Data, false, &mut receivers);
    table.fire("/a", WatchKind::Child, true, &mut receivers);
    assert_eq!(receivers, [ONE, TWO]);
    assert!(table.is_empty());
}

#[test]
fn removing_what_is_not_there_says_so() {
    let mut table = WatchTable::default();
    table.add("/a", ONE, WatchKind::Child).unwrap();
    assert!(!table.remove("/a", ONE, WatcherType::Data));
    assert!(!table.remove("/a", TWO, WatcherType::Any));
    assert!(!table.remove("/b", ONE, WatcherType::Any));
    assert!(table.remove("/a", ONE, WatcherType::Children));
    assert!(table.is_empty());
    table.remove_connection(ONE);
    assert!(!table.has_gone());
}

#[test]
fn a_watch_that_has_no_room_is_refused_and_changes_nothing() {
    let full = |table: &mut WatchTable, path: &str, owner| {
        let before = (table.len(), table.held_bytes());
        let refused = table.add_mode(path, owner, WatchMode::Persistent).unwrap_err();
        assert_eq!((table.len(), table.held_bytes()), before);
        refused
    };
    let mut table = WatchTable::new(1, WatchBounds { per_connection_max: 3, bytes_max: 4000 });
    table.add_mode("/a", ONE, WatchMode::Persistent).unwrap();
    assert_eq!(full(&mut table, "/b", ONE), WatchesFull::Connection);
    table.add("/b", ONE, WatchKind::Data).unwrap();
    assert_eq!(table.add("/c", ONE, WatchKind::Data), Err(WatchesFull::Connection));
    // An existing watch needs no room, nor does another mode of it.
    assert_eq!(table.add("/b", ONE, WatchKind::Data), Ok(false));
    assert_eq!(table.add_mode("/b", ONE, WatchMode::PersistentRecursive), Ok(true));
    assert_eq!(full(&mut table, "/b", ONE), WatchesFull::Connection);
    // One connection may use a quarter of the memory, and all connections together all of it.
    let long = format!("/{}", "x".repeat(900));
    table.add(&long, TWO, WatchKind::Data).unwrap();
    assert_eq!(full(&mut table, &long, TWO), WatchesFull::Share);
    for owner in 3..=100 {
        let added = table.add(&format!("/{owner}{long}"), ConnectionId(owner), WatchKind::Data);
        assert!(table.held_bytes() <= 4000);
        assert_eq!(added.is_ok(), owner < 5, "{owner}");
        assert!(added.is_ok() || added == Err(WatchesFull::Memory));
    }
    for owner in [ONE, TWO, ConnectionId(3), ConnectionId(4)] {
        table.remove_connection(owner);
    }
    table.remove_gone(usize::MAX);
    assert_eq!(table.held_bytes(), 0);
    table.add("/c", ONE, WatchKind::Data).unwrap();
}

#[test]
fn a_connection_takes_its_share_of_the_memory_for_watches_and_no_more_however_short_its_paths() {
    const BYTES_MAX: u64 = 100_000;
    let bounds = WatchBounds { per_connection_max: u32::MAX, bytes_max: BYTES_MAX };
    for name_bytes in [1, 30, 1000] {
        let mut table = WatchTable::new(1, bounds);
        for owner in 1..=4 {
            let path = |n: usize| format!("/{owner}-{n}-{}", "x".repeat(name_bytes));
            let before = table.held_bytes();
            let refused =
                (0..).find_map(|n| table.add(&path(n), ConnectionId(owner), WatchKind::Data).err());
            assert_eq!(refused, Some(WatchesFull::Share), "of {name_bytes} bytes");
            let share = table.held_bytes() - before;
            assert!((BYTES_MAX / 5..=BYTES_MAX / 4).contains(&share), "{share}");
        }
    }
}

#[test]
fn watches_of_a_connection_that_is_gone_are_silent_at_once_and_taken_out_in_portions() {
    let mut table = WatchTable::default();
    for number in 0..10 {
        table.add_mode(&format!("/{number}"), ONE, WatchMode::Persistent).unwrap();
    }
    table.add_mode("/", ONE, WatchMode::PersistentRecursive).unwrap();
    table.add("/0", TWO, WatchKind::Data).unwrap();
    let before = table.held_bytes();
    table.remove_connection(ONE);
    assert_eq!((table.len(), table.held_bytes()), (22, before), "they take memory still");
    assert_eq!(fire(&mut table, "/0", WatchKind::Data), [2]);
    assert_eq!(fire(&mut table, "/1", WatchKind::Child), [0u64; 0]);
    assert!(!table.contains("/1", ONE, WatcherType::Any));
    table.for_each_connection(&mut |owner, _| panic!("{owner:?} is told of"));
    table.for_each_path(&mut |_, owners| assert_eq!(owners.next(), None));
    let mut turns = 0;
    while table.has_gone() {
        let left = table.len();
        table.remove_gone(4);
        assert!(left - table.len() <= 4, "no more than was said");
        turns += 1;
    }
    assert_eq!((turns, table.held_bytes(), table.len()), (5, 0, 0), "three were met meanwhile");
    // The slot of a connection whose last watch was used up meanwhile serves another one afterwards.
    table.add("/a", ONE, WatchKind::Data).unwrap();
    table.remove_connection(ONE);
    assert_eq!(fire(&mut table, "/a", WatchKind::Data), [0u64; 0]);
    table.add("/a", TWO, WatchKind::Data).unwrap();
    table.remove_gone(usize::MAX);
    assert_eq!(fire(&mut table, "/a", WatchKind::Data), [2]);
}

#[test]
fn ten_thousand_connections_on_one_path_come_and_go() {
    let mut table = WatchTable::default();
    for round in 0..3 {
        for connection in 0..10_000 {
            assert!(table.add("/a", ConnectionId(connection), WatchKind::Data).unwrap());
            table
                .add(&format!("/own/{connection}"), ConnectionId(connection), WatchKind::Child)
                .unwrap();
        }
        assert_eq!(table.len(), 20_000);
        for connection in (0..10_000).filter(|connection| connection % 3 == round) {
            table.remove_connection(ConnectionId(connection));
        }
        table.remove_gone(usize::MAX);
        let left = fire(&mut table, "/a", WatchKind::Data).len();
        assert_eq!(left, 10_000 - (0..10_000).filter(|n| n % 3 == round).count());
        for connection in 0..10_000 {
            table.remove_connection(ConnectionId(connection));
        }
        table.remove_gone(usize::MAX);
        assert!(table.is_empty());
    }
    assert_eq!(table.watches.things.len(), 20_000, "slots are used again");
}

#[test]
fn a_watch_takes_less_than_sixty_bytes_beside_its_path() {
    let mut table = WatchTable::default();
    for connection in 0..100 {
        for path in 0..1000 {
            table.add(&format!("/p{path}"), ConnectionId(connection), WatchKind::Data).unwrap();
        }
    }
    let each = table.bytes() / table.len();
    assert!(each < 60, "{each} bytes");
}

#[test]
fn a_recursive_watch_lies_on_few_levels() {
    let mut table = WatchTable::default();
    let deepest = "/a".repeat(limits::RECURSIVE_WATCH_LEVELS_MAX);
    let deeper = format!("{deepest}/a");
    table.add_mode(&deepest, ONE, WatchMode::PersistentRecursive).unwrap();
    let refused = table.add_mode(&deeper, ONE, WatchMode::PersistentRecursive);
    assert_eq!(refused, Err(WatchesFull::Deep));
    table.add_mode(&deeper, TWO, WatchMode::Persistent).unwrap();
    let far_below = format!("{deeper}/a/a");
    assert_eq!(fire(&mut table, &far_below, WatchKind::Data), [1]);
    assert_eq!(fire(&mut table, &deeper, WatchKind::Data), [2, 1]);
}

/// A change below a path looks only at the path's recursive watches, however many watches of other kinds it has.
#[test]
fn recursive_watches_come_first_whatever_comes_and_goes() {
    let mut table = WatchTable::default();
    table.begin_turn(1000);
    let is_recursive = |id: u64| id.is_multiple_of(3);
    for id in 0..90 {
        table.add("/a", ConnectionId(id), WatchKind::Data).unwrap();
    }
    for id in (0..90).filter(|id| is_recursive(*id)) {
        table.add_mode("/a", ConnectionId(id), WatchMode::PersistentRecursive).unwrap();
    }
    let expected: Vec<u64> = (0..90).filter(|id| is_recursive(*id)).collect();
    assert_eq!(fire(&mut table, "/a/b", WatchKind::Data), expected);
    assert_eq!(table.spent(), 30, "others are not looked at");
    for id in [0, 87, 42] {
        assert!(table.remove("/a", ConnectionId(id), WatcherType::PersistentRecursive));
        assert!(table.contains("/a", ConnectionId(id), WatcherType::Data));
    }
    let expected: Vec<u64> = expected.into_iter().filter(|id| ![0, 87, 42].contains(id)).collect();
    assert_eq!(fire(&mut table, "/a/b", WatchKind::Data), expected);
    assert_eq!(fire(&mut table, "/a", WatchKind::Data).len(), 90);
    assert_eq!(
        fire(&mut table, "/a/b", WatchKind::Data),
        expected,
        "the standard ones are used up"
    );
}

#[test]
fn a_turn_gives_up_those_who_have_most_watches_above_a_node() {
    let mut table = WatchTable::default();
    table.begin_turn(400);
    let path = "/a".repeat(40);
    for level in 1..=40 {
        table.add_mode(&path[..2 * level], ONE, WatchMode::PersistentRecursive).unwrap();
    }
    table.add_mode("/a", TWO, WatchMode::PersistentRecursive).unwrap();
    let below = format!("{path}/a");
    for _ in 0..9 {
        assert_eq!(fire(&mut table, &below, WatchKind::Data), [1, 2]);
    }
    let told = fire(&mut table, &below, WatchKind::Data);
    assert_eq!((told.last(), table.take_given_up()), (Some(&2), vec![ONE]));
    for _ in 0..20 {
        assert_eq!(fire(&mut table, &below, WatchKind::Data), [2]);
    }
    assert!(table.take_given_up().is_empty(), "it had less than its share");
    assert!(!table.charge(TWO, 400), "nobody gets more than twice what a turn has");
    table.begin_turn(400);
    assert_eq!(fire(&mut table, &below, WatchKind::Data), [2]);
    assert_eq!(table.len(), 1, "the watches of the other one were met and taken out");
}
