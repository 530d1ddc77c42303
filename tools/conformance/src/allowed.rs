//! The differences between the servers that the comparison allows. Every other difference is a defect.

/// One allowed difference.
#[derive(Debug)]
pub struct Allowed {
    /// A short name.
    pub name: &'static str,
    /// What the comparison leaves out, and how.
    pub what: &'static str,
    /// Why.
    pub why: &'static str,
}

/// All allowed differences.
pub const ALLOWED: &[Allowed] = &[
    Allowed {
        name: "times",
        what: "ctime and mtime: each server's times must be a function of the zxid that set them (equal zxid, equal time; \
               zxid 0, time 0) and lie within the run; the values differ.",
        why: "They are the servers' clocks.",
    },
    Allowed {
        name: "session-ids",
        what: "Session ids and passwords: each is mapped to the slot that opened the session; the password must be the one \
               that the id implies.",
        why: "Ids begin with the time of the server's start.",
    },
    Allowed {
        name: "order-of-sets",
        what: "The order of the lists in getChildren, getChildren2, getEphemerals, whoAmI and getACL (sorted before they are \
               compared), and of the events of one closeSession.",
        why: "In ZooKeeper they are the order of a hash set; of an ACL only the entries that replace `auth:` are, but they \
              cannot be told from the others. The events follow the order in which a session's ephemeral nodes are deleted.",
    },
    Allowed {
        name: "internal-operations",
        what: "Opcodes -10 (createSession) and 20 (deleteContainer) are not sent.",
        why: "ZooKeeper carries them out as if they came from within; createSession is even answered by a frame that has no \
              reply header. Here they are answered as unknown, like every internal operation.",
    },
    Allowed {
        name: "requests-that-stop-zookeeper",
        what: "createTTL with flags of a node without TTL and a TTL outside of its range; a value in a quota's limits or \
               statistics that is no quota. Neither is sent.",
        why: "ZooKeeper 3.9.4 stops when it applies them, and does not start again, as they are in its log.",
    },
    Allowed {
        name: "set-acl-in-a-pipeline",
        what: "A pipeline has no setACL; outside of pipelines there are many. Pipelines are not used where quotas are enforced.",
        why: "ZooKeeper checks a request against the ACL, and the quota, of the tree as far as it is applied by then, not \
              against outstanding changes: what the answer is depends on its threads.",
    },
    Allowed {
        name: "ephemeral-containers-in-a-pipeline",
        what: "A pipeline has no createContainer and no createTTL with the flags of an ephemeral node; outside of pipelines there are some.",
        why: "ZooKeeper takes such a node for an ephemeral one until the transaction, which makes none, is applied: whether a closeSession \
              behind it deletes it depends on its threads.",
    },
    Allowed {
        name: "characters-above-u+ffff",
        what: "Paths with such characters are not sent where the server sends them back (sync, setWatches).",
        why: "ZooKeeper writes each half of a surrogate pair as three bytes, which is not UTF-8. No node can have such a path.",
    },
    Allowed {
        name: "watches-on-null",
        what: "addWatch, and the lists of persistent watches in setWatches2, are not sent a null path.",
        why: "ZooKeeper accepts it and keeps a watch that can never fire; here it cannot be decoded (-5).",
    },
    Allowed {
        name: "wrong-password",
        what: "A connect request with a wrong password is only sent while the session has no connection.",
        why: "ZooKeeper closes the session's other connection before it looks at the password, so that anybody who guesses \
              an id can disconnect its owner; a server may check first.",
    },
];
