//! The rules of a round, one by one (`FLEPredicateTest`, `FLEOutOfElectionTest`,
//! `FLEZeroWeightTest`, `FLEMalformedNotificationMessageTest`).

use std::rc::Rc;

use crate::election::Vote;
use crate::election::notification::{self, Ballot};
use crate::election::round::{Consequence, Electorate, Round};
use crate::id::{Epoch, ServerId, Zxid};
use crate::proto::quorum::ServerState::{self, Following, Leading, Looking, Observing};
use crate::quorum::Config;

fn electorate(me: i64, config: &str) -> Electorate {
    let config = Rc::new(Config::parse(config).unwrap());
    Electorate { me: ServerId(me), active: config.clone(), last_seen: config, oracle: None }
}

fn three(me: i64) -> Electorate {
    electorate(me, "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2:observer")
}

fn vote(leader: i64, zxid: i64, epoch: i64) -> Vote {
    Vote { leader: ServerId(leader), zxid: Zxid(zxid), peer_epoch: Epoch(epoch) }
}

fn ballot(state: ServerState, vote: Vote, round: i64) -> Ballot {
    Ballot { state, vote, round, is_versioned: true }
}

fn says(round: &mut Round, electorate: &Electorate, from: i64, ballot: Ballot) -> Consequence {
    round.consider(electorate, ServerId(from), ballot)
}

fn leader_of(consequence: &Consequence) -> Option<i64> {
    match consequence {
        Consequence::Joins(agreement) => Some(agreement.vote.leader.0),
        _ => None,
    }
}

#[test]
fn votes_are_ordered_by_epoch_then_zxid_then_server() {
    let electorate = three(1);
    for (better, worse) in [
        (vote(1, 1, 2), vote(3, 9, 1)),
        (vote(1, 2, 1), vote(3, 1, 1)),
        (vote(3, 1, 1), vote(1, 1, 1)),
    ] {
        assert!(electorate.is_better(better, worse));
        assert!(!electorate.is_better(worse, better));
        assert!(!electorate.is_better(better, better));
    }
}

#[test]
fn a_server_without_weight_never_wins_even_in_its_own_eyes() {
    let electorate =
        electorate(3, "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\ngroup.1=1:2:3\nweight.3=0");
    let mut round = Round::new(&electorate, 1, vote(3, 99, 9));
    assert!(!electorate.is_better(vote(3, 99, 9), vote(1, 1, 1)));
    let first = says(&mut round, &electorate, 1, ballot(Looking, vote(1, 1, 1), 1));
    assert_eq!(first, Consequence::Proposes);
    says(&mut round, &electorate, 2, ballot(Looking, vote(1, 1, 1), 1));
    assert_eq!(round.agreement(&electorate).unwrap().vote, vote(1, 1, 1));
}

#[test]
fn a_quorum_of_equal_votes_of_one_round_decides() {
    let electorate = three(1);
    let mut round = Round::new(&electorate, 1, vote(1, 5, 1));
    assert_eq!(round.agreement(&electorate), None);
    // A vote for the same leader with another history is another vote, and so is one of another round.
    let other = says(&mut round, &electorate, 2, ballot(Looking, vote(1, 4, 1), 1));
    assert_eq!(other, Consequence::Noted);
    assert_eq!(round.agreement(&electorate), None);
    let older = says(&mut round, &electorate, 3, ballot(Looking, vote(3, 9, 9), 0));
    assert_eq!(older, Consequence::Answer);
    let better = says(&mut round, &electorate, 2, ballot(Looking, vote(2, 5, 1), 1));
    assert_eq!(better, Consequence::Proposes);
    let agreement = round.agreement(&electorate).unwrap();
    assert_eq!((agreement.vote, agreement.round), (vote(2, 5, 1), 1));
    assert_eq!(agreement.supporters, [ServerId(1), ServerId(2)].into());
    assert!(!round.is_complete(&electorate, |_| false), "server 3 may be better");
    assert!(round.is_complete(&electorate, |id| id == ServerId(3)));
    says(&mut round, &electorate, 3, ballot(Looking, vote(1, 5, 1), 1));
    assert!(round.is_complete(&electorate, |_| false), "all have voted");
}

#[test]
fn a_newer_round_forgets_the_votes_of_the_older() {
    let electorate = three(1);
    let mut round = Round::new(&electorate, 1, vote(1, 5, 1));
    says(&mut round, &electorate, 2, ballot(Looking, vote(2, 9, 1), 1));
    assert!(round.agreement(&electorate).is_some());
    // Server 3 is in a newer round, and votes for an older history than our own.
    let newer = says(&mut round, &electorate, 3, ballot(Looking, vote(3, 4, 1), 7));
    assert_eq!(newer, Consequence::Proposes);
    assert_eq!((round.number, round.proposed), (7, vote(1, 5, 1)));
    assert_eq!(round.agreement(&electorate), None);
}

#[test]
fn votes_of_and_for_servers_that_do_not_vote_do_not_count() {
    let electorate = three(1);
    let mut round = Round::new(&electorate, 1, vote(1, 5, 1));
    for (from, leader) in [(2, 4), (2, 9), (4, 1), (9, 1)] {
        let vote = ballot(Looking, vote(leader, 9, 9), 1);
        assert_eq!(says(&mut round, &electorate, from, vote), Consequence::Noted);
    }
    let observing = ballot(Observing, vote(3, 9, 9), 1);
    assert_eq!(says(&mut round, &electorate, 2, observing), Consequence::Noted);
    assert_eq!(round.agreement(&electorate), None);
    assert_eq!(round.proposed, vote(1, 5, 1));
}

#[test]
fn a_server_without_a_database_waits_for_an_established_leader() {
    let electorate = three(1);
    let mut round = Round::new(&electorate, 1, vote(1, -1, 0));
    says(&mut round, &electorate, 2, ballot(Looking, vote(2, 5, 1), 1));
    says(&mut round, &electorate, 3, ballot(Looking, vote(2, 5, 1), 1));
    assert_eq!(round.agreement(&electorate), None);
    says(&mut round, &electorate, 2, ballot(Leading, vote(2, 5, 1), 1));
    let joins = says(&mut round, &electorate, 3, ballot(Following, vote(2, 5, 1), 1));
    assert_eq!(leader_of(&joins), Some(2));
    // The other servers do not count the vote of a server without a database either.
    let mut round = Round::new(&electorate, 1, vote(1, 5, 0));
    let nothing = says(&mut round, &electorate, 3, ballot(Looking, vote(3, -1, 9), 1));
    assert_eq!(nothing, Consequence::Noted);
}

/// The server that does not stand has a history that ends at zxid 5, in epoch 1.
#[test]
fn a_server_that_does_not_stand_votes_for_the_best_of_the_others() {
    let electorate = three(3);
    let nobody = vote(i64::MIN, i64::MIN, i64::MIN);
    let new = || Round::without_standing(&electorate, 4, nobody, (Epoch(1), Zxid(5)));
    let mut round = new();
    // The server votes neither for itself nor for a server that lacks what is on its own disk.
    for (from, vote) in [(1, vote(3, 5, 1)), (1, vote(1, 4, 1)), (2, vote(2, 9, 0))] {
        let noted = says(&mut round, &electorate, from, ballot(Looking, vote, 4));
        assert_eq!(noted, Consequence::Noted);
        assert_eq!((round.proposed, round.agreement(&electorate)), (nobody, None));
    }
    let better = says(&mut round, &electorate, 1, ballot(Looking, vote(1, 5, 1), 4));
    assert_eq!((better, round.proposed), (Consequence::Proposes, vote(1, 5, 1)));
    assert_eq!(round.agreement(&electorate).unwrap().supporters, [1, 3].map(ServerId).into());
    // Even if all others take the server for their leader, it does not lead.
    let mut round = new();
    for from in [1, 2] {
        let follows = ballot(Following, vote(3, 5, 1), 4);
        assert_eq!(says(&mut round, &electorate, from, follows), Consequence::Noted);
    }
    // The round of the server does not matter while it votes for no server: the others need not learn that round.
    let mut round = new();
    let older = says(&mut round, &electorate, 2, ballot(Looking, vote(2, 5, 1), 3));
    assert_eq!(older, Consequence::Proposes);
    assert_eq!((round.number, round.proposed), (3, vote(2, 5, 1)));
    let older = says(&mut round, &electorate, 1, ballot(Looking, vote(1, 9, 1), 2));
    assert_eq!(older, Consequence::Answer);
    let newer = says(&mut round, &electorate, 1, ballot(Looking, vote(1, 4, 1), 7));
    assert_eq!((newer, round.number, round.proposed), (Consequence::Proposes, 7, nobody));
}

#[test]
fn an_established_leader_is_joined_when_a_quorum_follows_and_it_says_so_itself() {
    let electorate = three(3);
    for same_round in [true, false] {
        let round_of = if same_round { 1 } else { 5 };
        let mut round = Round::new(&electorate, 1, vote(3, 99, 1));
        let follows = ballot(Following, vote(1, 7, 2), round_of);
        assert_eq!(says(&mut round, &electorate, 2, follows), Consequence::Noted);
        assert_eq!(leader_of(&says(&mut round, &electorate, 2, follows)), None);
        // The votes for an established leader need not have the same zxid and round everywhere.
        let leads = ballot(Leading, vote(1, 8, 2), round_of);
        let joins = says(&mut round, &electorate, 1, leads);
        assert_eq!(leader_of(&joins), Some(1), "same_round={same_round}");
        assert_eq!(round.number, round_of);
    }
}

#[test]
fn a_leader_that_only_others_remember_is_not_joined() {
    // Servers 1 and 2 still follow server 3, which has died and come back. The round here is the new one of server 3
    // itself.
    let electorate = three(3);
    let mut round = Round::new(&electorate, 9, vote(3, 7, 1));
    for from in [1, 2] {
        let remembers = ballot(Following, vote(3, 7, 1), 4);
        assert_eq!(says(&mut round, &electorate, from, remembers), Consequence::Noted);
    }
    // Votes of the same round mean that servers 1 and 2 have just elected server 3.
    let mut round = Round::new(&electorate, 4, vote(3, 7, 1));
    says(&mut round, &electorate, 1, ballot(Following, vote(3, 7, 1), 4));
    let elected = says(&mut round, &electorate, 2, ballot(Following, vote(3, 7, 1), 4));
    assert_eq!(leader_of(&elected), Some(3));
}

#[test]
fn established_votes_of_different_epochs_are_votes_for_different_reigns() {
    let electorate = electorate(
        5,
        "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2\nserver.5=e:1:2",
    );
    let mut round = Round::new(&electorate, 1, vote(5, 0, 0));
    says(&mut round, &electorate, 1, ballot(Leading, vote(1, 7, 3), 5));
    says(&mut round, &electorate, 2, ballot(Following, vote(1, 7, 3), 5));
    let older = says(&mut round, &electorate, 3, ballot(Following, vote(1, 7, 2), 5));
    assert_eq!(older, Consequence::Noted);
    let old_server = Ballot { is_versioned: false, ..ballot(Following, vote(1, 7, 2), 5) };
    assert_eq!(leader_of(&says(&mut round, &electorate, 4, old_server)), Some(1));
}

#[test]
fn during_a_reconfiguration_a_leader_needs_both_quorums() {
    let mut electorate = three(1);
    let next = "server.1=a:1:2\nserver.5=e:1:2\nserver.6=f:1:2\nversion=7";
    electorate.last_seen = Rc::new(Config::parse(next).unwrap());
    let mut round = Round::new(&electorate, 1, vote(1, 5, 1));
    says(&mut round, &electorate, 2, ballot(Looking, vote(1, 5, 1), 1));
    assert_eq!(round.agreement(&electorate), None);
    says(&mut round, &electorate, 6, ballot(Looking, vote(1, 5, 1), 1));
    let supporters = round.agreement(&electorate).unwrap().supporters;
    assert_eq!(supporters, [1, 2, 6].map(ServerId).into());
}

#[test]
fn a_server_that_only_a_proposed_configuration_names_is_no_candidate() {
    let mut electorate = three(1);
    let next = "server.1=a:1:2\nserver.5=e:1:2\nserver.6=f:1:2\nversion=7";
    electorate.last_seen = Rc::new(Config::parse(next).unwrap());
    let mut round = Round::new(&electorate, 1, vote(1, 5, 1));
    for number in [1, 2] {
        says(&mut round, &electorate, 5, ballot(Looking, vote(5, 9, 9), number));
        assert_eq!((round.number, round.proposed), (number, vote(1, 5, 1)));
    }
}

#[test]
fn the_round_of_a_voter_that_votes_for_nobody_is_followed() {
    let mut electorate = three(1);
    let next = "server.1=a:1:2\nserver.5=e:1:2\nserver.6=f:1:2\nversion=7";
    electorate.last_seen = Rc::new(Config::parse(next).unwrap());
    let mut round = Round::new(&electorate, 1, vote(1, 5, 1));
    says(&mut round, &electorate, 2, ballot(Looking, vote(2, 9, 1), 1));
    let nobody = |number| ballot(Looking, vote(i64::MIN, i64::MIN, i64::MIN), number);
    assert_eq!(says(&mut round, &electorate, 9, nobody(7)), Consequence::Noted);
    assert_eq!(says(&mut round, &electorate, 6, nobody(1)), Consequence::Noted);
    assert_eq!((round.number, round.proposed), (1, vote(2, 9, 1)));
    assert_eq!(says(&mut round, &electorate, 6, nobody(4)), Consequence::Proposes);
    assert_eq!((round.number, round.proposed), (4, vote(1, 5, 1)));
}

#[test]
fn a_leader_is_joined_though_a_change_that_never_came_would_need_this_server() {
    let mut electorate = three(3);
    let never = "server.2=b:1:2\nserver.3=c:1:2\nversion=7";
    electorate.last_seen = Rc::new(Config::parse(never).unwrap());
    let mut round = Round::new(&electorate, 1, vote(3, 9, 1));
    says(&mut round, &electorate, 1, ballot(Following, vote(2, 5, 2), 3));
    let joins = says(&mut round, &electorate, 2, ballot(Leading, vote(2, 5, 2), 3));
    assert_eq!(leader_of(&joins), Some(2));
}

#[test]
fn a_witness_lets_one_of_two_servers_lead_and_the_other_follow() {
    let mut electorate = electorate(1, "server.1=a:1:2\nserver.2=b:1:2");
    let mut round = Round::new(&electorate, 1, vote(1, 5, 1));
    let leads = ballot(Leading, vote(2, 9, 4), 8);
    assert_eq!(says(&mut round, &electorate, 2, leads), Consequence::Noted);
    assert_eq!(round.agreement(&electorate), None);
    electorate.oracle = Some(true);
    assert_eq!(round.agreement(&electorate).unwrap().vote.leader, ServerId(1));
    electorate.oracle = Some(false);
    assert_eq!(leader_of(&says(&mut round, &electorate, 2, leads)), Some(2));
    // Among three voters the majority decides, and not the witness.
    let mut three = three(1);
    three.oracle = Some(false);
    let mut round = Round::new(&three, 1, vote(1, 5, 1));
    assert_eq!(says(&mut round, &three, 2, leads), Consequence::Noted);
}

/// The witness stands for the second of two voters. Where no voter names a leader any more, no server is elected.
#[test]
fn a_witness_elects_nobody_whom_no_voter_names() {
    let mut electorate = electorate(3, "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2:observer");
    electorate.oracle = Some(true);
    let mut round = Round::new(&electorate, 1, vote(3, 1, 1));
    says(&mut round, &electorate, 2, ballot(Looking, vote(2, 9, 4), 1));
    assert_eq!(round.agreement(&electorate).unwrap().vote.leader, ServerId(2));
    // Server 2 was restarted, and votes for another server now, no better one.
    says(&mut round, &electorate, 2, ballot(Looking, vote(1, 5, 1), 1));
    assert_eq!(round.agreement(&electorate), None);
}

#[test]
fn all_forms_of_a_message_are_understood_and_malformed_ones_are_dropped() {
    let config = Config::parse("server.1=a:1:2").unwrap();
    let vote = vote(2, 0x3_0000_0004, 5);
    let framed = notification::write(Following, vote, 6, &config);
    let (length, body) = framed.split_at(4);
    assert_eq!(length, i32::try_from(body.len()).unwrap().to_be_bytes());
    assert_eq!(body.len(), 44 + config.to_text().len());
    let (read, text) = notification::read(body).unwrap();
    assert_eq!(read, ballot(Following, vote, 6));
    assert_eq!(text, Some(config.to_text().as_bytes()));

    let (oldest, _) = notification::read(&body[..28]).unwrap();
    assert_eq!(oldest.vote, Vote { peer_epoch: Epoch(3), ..vote });
    assert!(!oldest.is_versioned);
    let (older, _) = notification::read(&body[..40]).unwrap();
    assert_eq!(older, Ballot { is_versioned: false, ..ballot(Following, vote, 6) });
    let first_version = [&body[..36], &1i32.to_be_bytes(), &[0; 8]].concat();
    assert_eq!(notification::read(&first_version), Some((ballot(Following, vote, 6), None)));

    for length in [0, 27, 29, 41, 43] {
        assert_eq!(notification::read(&body[..length]), None, "{length}");
    }
    for wrong in [-1, i32::MIN, i32::MAX, 1 << 20] {
        let bytes = [&body[..40], &wrong.to_be_bytes(), b"server"].concat();
        assert_eq!(notification::read(&bytes), None, "{wrong}");
    }
    let state = [&7i32.to_be_bytes(), &body[4..]].concat();
    assert_eq!(notification::read(&state), None);
}
