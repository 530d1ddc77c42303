//! A znode's data as a sequential object: value and version.

use stateright::semantics::SequentialSpec;

/// A client's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// setData with version -1.
    Set {
        /// The value, which no other write has.
        value: u64,
    },
    /// setData with a version.
    SetAt {
        /// The version that the register must have.
        version: i32,
        /// The value, which no other write has.
        value: u64,
    },
    /// sync and getData.
    Read,
}

/// A server's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The version that the write made.
    Written {
        /// The version in the Stat.
        version: i32,
    },
    /// BADVERSION.
    BadVersion,
    /// The state that a read saw.
    Seen {
        /// The version in the Stat.
        version: i32,
        /// The value; 0 if no client has written.
        value: u64,
    },
}

/// A znode that was just created with the value 0.
#[derive(Debug, Clone, Copy, Default)]
pub struct Register {
    version: i32,
    value: u64,
}

impl SequentialSpec for Register {
    type Op = Operation;
    type Ret = Answer;

    fn invoke(&mut self, operation: &Operation) -> Answer {
        match *operation {
            Operation::SetAt { version, .. } if version != self.version => Answer::BadVersion,
            Operation::Set { value } | Operation::SetAt { value, .. } => {
                self.version += 1;
                self.value = value;
                Answer::Written { version: self.version }
            }
            Operation::Read => Answer::Seen { version: self.version, value: self.value },
        }
    }
}
