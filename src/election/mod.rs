//! Who shall lead (`FastLeaderElection`), and the connections over which that is found out
//! (`QuorumCnxManager`).
