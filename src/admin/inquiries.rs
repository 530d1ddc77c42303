//! The way from another thread to the replica and back: questions in a bounded queue, and an answer for each.
//!
//! ```text
//! thread of a web server ─ Asker ─▶ queue ─▶ Inquiries ─ a turn of the replica ─▶ Desk::report
//!             ▲                                                                      │
//!             └───────────────────────── oneshot ◀────────────────────────────────────┘
//! ```
//! The replica never waits for who asks: a full queue refuses, and an answer that nobody waits for any more is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::oneshot;

use super::report::{Inquiry, NoReport, Report};
use crate::limits::{WEB_ANSWER_MS_MAX, WEB_QUESTIONS_WAITING_MAX};
use crate::runtime::Doorbell;

/// A report, or why there is none.
pub type Answer = Result<Report, NoReport>;

/// A question that waits for a turn.
#[derive(Debug)]
pub struct Question {
    /// What is asked.
    pub inquiry: Inquiry,
    answer: oneshot::Sender<Answer>,
}

impl Question {
    /// Whether somebody still waits for the answer.
    pub fn is_waited_for(&self) -> bool {
        !self.answer.is_closed()
    }

    /// Gives the answer.
    pub fn answer(self, answer: Answer) {
        // Whoever asked may have left meanwhile.
        let _ = self.answer.send(answer);
    }
}

/// The end of those who ask. Clones ask the same replica.
#[derive(Clone, Debug)]
pub struct Asker {
    questions: SyncSender<Question>,
    is_answered: Arc<AtomicBool>,
    bell: Doorbell,
}

/// The end of the replica's executor.
#[derive(Debug)]
pub struct Inquiries {
    questions: Receiver<Question>,
    is_answered: Arc<AtomicBool>,
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// Too many others wait.
    Crowded,
    /// The replica does not exist yet or any more, or its turn did not come in time.
    Silent,
}

/// A queue to the replica; `bell` wakes its executor.
pub fn queue(bell: Doorbell) -> (Asker, Inquiries) {
    let (sender, questions) = sync_channel(WEB_QUESTIONS_WAITING_MAX);
    let is_answered = Arc::new(AtomicBool::new(false));
    let asker = Asker { questions: sender, is_answered: is_answered.clone(), bell };
    (asker, Inquiries { questions, is_answered })
}

impl Asker {
    /// Asks, and waits for the answer, at most [`WEB_ANSWER_MS_MAX`].
    ///
    /// # Errors
    /// There is no answer.
    pub async fn ask(&self, inquiry: Inquiry) -> Result<Answer, Unanswered> {
        if !self.is_answered.load(Ordering::Acquire) {
            return Err(Unanswered::Silent);
        }
        let (answer, answered) = oneshot::channel();
        self.questions.try_send(Question { inquiry, answer }).map_err(|_| Unanswered::Crowded)?;
        self.bell.ring();
        let patience = Duration::from_millis(WEB_ANSWER_MS_MAX);
        match tokio::time::timeout(patience, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(Unanswered::Silent),
        }
    }
}

impl Inquiries {
    /// From now on questions are answered.
    pub fn open(&self) {
        self.is_answered.store(true, Ordering::Release);
    }

    /// The next question.
    pub fn next(&self) -> Option<Question> {
        self.questions.try_recv().ok()
    }
}
