//! Whole ensembles of real processes: ringkeeper alone, and mixed with Apache ZooKeeper 3.8 and 3.9.
//!
//! One ensemble at a time, whatever the number of test threads: three Java machines fill two cores. A bounded choice runs by
//! default; `RINGKEEPER_ENSEMBLE=all` runs everything, `RINGKEEPER_FAULT_ROUNDS=100` more rounds of faults.
//! `RINGKEEPER_TEST_PEER=java` puts Apache ZooKeeper 3.9 in ringkeeper's place, to try the tests themselves; any other value
//! is the path of a ringkeeper binary.

mod addresses;
mod conformance;
mod faults;
mod ground;
mod histories;
mod kazoo_suite;
mod load;
mod migration;
mod mixed;
mod order;
mod partitions;
mod reconfig;
mod roles;
mod room;
mod same;
