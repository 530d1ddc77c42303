//! The tree as the database uses it.

use super::*;

#[test]
fn a_znode_takes_less_than_140_bytes_beside_path_and_data() {
    let root = StatPersisted::default();
    let (rules, acls) = (KindRules::default(), AclTable::new());
    let mut tree = Tree::new(rules, true, 1, &root, None, AclSlot::OPEN, acls);
    for n in 0..100_000 {
        let path = format!("/n{n}");
        tree.insert(NodeId::ROOT, &path, Some(b"data"), AclSlot::OPEN, &root);
    }
    let each = tree.overhead_bytes() / tree.len();
    assert!(each < 140, "{each} bytes");
    assert_eq!(tree.get(NodeId::ROOT).children().count(), 100_000);
}

#[test]
fn a_slot_is_used_again_and_its_new_node_is_found() {
    let root = StatPersisted::default();
    let (rules, acls) = (KindRules::default(), AclTable::new());
    let mut tree = Tree::new(rules, true, 1, &root, None, AclSlot::OPEN, acls);
    let first = tree.insert(NodeId::ROOT, "/a", None, AclSlot::OPEN, &root);
    let second = tree.insert(NodeId::ROOT, "/b", None, AclSlot::OPEN, &root);
    let digest = tree.digest();
    tree.remove(first);
    assert_eq!(tree.find("/a"), None);
    let third = tree.insert(NodeId::ROOT, "/a", None, AclSlot::OPEN, &root);
    assert_eq!(third, first);
    assert_eq!(tree.digest(), digest);
    assert_eq!(tree.get(second).parent().unwrap().children().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn a_path_is_split_only_where_it_names_a_node() {
    assert_eq!(split_path("/a"), Some(("", "a")));
    assert_eq!(split_path("/a/b"), Some(("/a", "b")));
    for path in ["", "/", "a", "/a/", "a/b"] {
        assert_eq!(split_path(path), None, "{path}");
    }
}
