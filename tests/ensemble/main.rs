//! Whole ensembles of real processes: Ringkeeper alone, and mixed with Apache ZooKeeper 3.8 and 3.9.
//!
//! One ensemble runs at a time, whatever the number of test threads, because three Java machines fill two cores. By
//! default a part of the tests runs; `RINGKEEPER_ENSEMBLE=all` runs everything, `RINGKEEPER_FAULT_ROUNDS=100` more
//! rounds of faults.
//! `RINGKEEPER_TEST_PEER=java` tests Apache ZooKeeper 3.9 instead of Ringkeeper, to check the tests themselves; any
//! other value is the path of a Ringkeeper binary.

mod addresses;
mod causes;
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
