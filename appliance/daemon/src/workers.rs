//! The threads beside the engine: workers for sealing and hashing, and those of the index.
//!
//! The engine thread never waits for them: what does not fit into a queue stays in its own backlog.
//! They may wait for the engine thread, which always empties their answers before it sleeps.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use stele_device::linger::{is_long, linger};
use stele_store::index::{IndexReply, IndexRequest, IndexStore, Query};
use stele_store::job::{Job, JobDone};
use stele_store::keys::chunk::{AwsLc, BulkAead};

use crate::bell::Bell;
use crate::error::{Error, Outcome};
use crate::limits::{
    INDEX_QUEUE_COUNT_MAX, JOB_QUEUE_COUNT_MAX, JOB_RESULT_COUNT_MAX, WORKER_COUNT_MIN,
};
use crate::watch::Watch;

/// Threads that take questions of one kind and give answers of another, in any order.
pub struct Crew<Question, Reply> {
    questions: SyncSender<Question>,
    replies: Receiver<Reply>,
    backlog: VecDeque<Question>,
    waiting: usize,
    threads: Vec<JoinHandle<()>>,
}

impl<Question: Send + 'static, Reply: Send + 'static> Crew<Question, Reply> {
    fn new(queue_max: usize, replies_max: usize) -> (Self, Bench<Question, Reply>) {
        let (questions, take) = sync_channel(queue_max);
        let (give, replies) = sync_channel(replies_max);
        let backlog = VecDeque::new();
        let crew = Crew {
            questions,
            replies,
            backlog,
            waiting: 0,
            threads: Vec::new(),
        };
        (
            crew,
            Bench {
                take: Arc::new(Mutex::new(take)),
                give,
            },
        )
    }

    /// A crew without threads, that is never asked.
    pub fn ended() -> Self {
        Self::new(0, 0).0
    }

    fn start(
        &mut self,
        name: &'static str,
        watch: &Watch,
        run: impl FnOnce() + Send + 'static,
    ) -> Outcome<()> {
        let guard = watch.guard(name);
        let body = move || {
            let _guard = guard;
            run();
        };
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(body);
        self.threads.push(thread.map_err(Error::Thread)?);
        Ok(())
    }

    /// Asks. Never waits.
    pub fn ask(&mut self, question: Question) {
        self.waiting += 1;
        self.backlog.push_back(question);
        self.push();
    }

    /// The next answer, if there is one now.
    pub fn reply(&mut self) -> Option<Reply> {
        self.push();
        match self.replies.try_recv() {
            Ok(reply) => {
                self.waiting -= 1;
                Some(reply)
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
    }

    /// Whether nothing asked is unanswered.
    pub fn is_idle(&self) -> bool {
        self.waiting == 0
    }

    fn push(&mut self) {
        while let Some(question) = self.backlog.pop_front() {
            match self.questions.try_send(question) {
                Ok(()) => {}
                // A crew that died has told so by its watch.
                Err(TrySendError::Full(question) | TrySendError::Disconnected(question)) => {
                    self.backlog.push_front(question);
                    return;
                }
            }
        }
    }

    /// Lets every thread finish what it has and waits for their end.
    pub fn stop(self) {
        let Crew {
            questions,
            replies,
            threads,
            ..
        } = self;
        drop(questions);
        // A thread that waits to hand over an answer nobody wants any more must not wait for ever.
        drop(replies);
        for thread in threads {
            // One that panicked has told so by its watch.
            drop(thread.join());
        }
    }
}

/// What a thread of a crew sees.
struct Bench<Question, Reply> {
    take: Arc<Mutex<Receiver<Question>>>,
    give: SyncSender<Reply>,
}

impl<Question, Reply> Clone for Bench<Question, Reply> {
    fn clone(&self) -> Self {
        Bench {
            take: Arc::clone(&self.take),
            give: self.give.clone(),
        }
    }
}

impl<Question, Reply> Bench<Question, Reply> {
    /// The next question; none once the engine thread is gone.
    fn next(&self, lingers: bool) -> Option<Question> {
        let take = self.take.lock().unwrap_or_else(PoisonError::into_inner);
        let look = || take.try_recv().ok();
        let soon = if lingers { linger(look) } else { None };
        soon.or_else(|| take.recv().ok())
    }

    /// Works until the engine thread is gone.
    fn work(&self, bell: &Bell, mut answer: impl FnMut(Question) -> Reply) {
        let mut lingers = true;
        while let Some(question) = self.next(lingers) {
            let begun = Instant::now();
            let answered = answer(question);
            lingers = !is_long(begun.elapsed());
            if self.give.send(answered).is_err() {
                return;
            }
            bell.ring();
        }
    }
}

/// The workers: pure computation, as many as the machine has cores.
///
/// # Errors
/// When a thread cannot be started.
pub fn start_workers(bell: &Bell, watch: &Watch) -> Outcome<Crew<Job, JobDone>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut crew, bench) = Crew::new(JOB_QUEUE_COUNT_MAX, JOB_RESULT_COUNT_MAX);
    for _ in 0..cores.max(WORKER_COUNT_MIN) {
        let (bench, bell) = (bench.clone(), bell.clone());
        let run = move || {
            let aead: &dyn BulkAead = &AwsLc;
            bench.work(&bell, |job: Job| job.run(aead));
        };
        crew.start("worker", watch, run)?;
    }
    Ok(crew)
}

/// The threads of the index: one that reads, one that does everything else. Each answers in order; what is read
/// waits for a commit only where its pages are not in memory while the commit writes them out and flushes.
pub struct IndexCrew {
    readers: Crew<Query, Result<IndexReply, Query>>,
    owner: Crew<IndexRequest, IndexReply>,
}

impl IndexCrew {
    /// Starts both.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(mut index: IndexStore, bell: &Bell, watch: &Watch) -> Outcome<Self> {
        let (mut readers, bench) = Crew::new(INDEX_QUEUE_COUNT_MAX, INDEX_QUEUE_COUNT_MAX);
        let (reader, rings) = (index.reader(), bell.clone());
        let run = move || bench.work(&rings, |query| reader.answer(query));
        readers.start("index-reader", watch, run)?;
        let (mut owner, bench) = Crew::new(INDEX_QUEUE_COUNT_MAX, INDEX_QUEUE_COUNT_MAX);
        let rings = bell.clone();
        let run = move || bench.work(&rings, |request| index.execute(request));
        owner.start("index", watch, run)?;
        Ok(Self { readers, owner })
    }

    /// Crews without threads, that are never asked.
    pub fn ended() -> Self {
        Self {
            readers: Crew::ended(),
            owner: Crew::ended(),
        }
    }

    /// Asks. Never waits.
    pub fn ask(&mut self, request: IndexRequest) {
        match request {
            IndexRequest::Query(query) => self.readers.ask(query),
            request => self.owner.ask(request),
        }
    }

    /// The next answer, if there is one now. What could not be read is asked of the owner.
    pub fn reply(&mut self) -> Option<IndexReply> {
        while let Some(read) = self.readers.reply() {
            match read {
                Ok(reply) => return Some(reply),
                Err(query) => self.owner.ask(IndexRequest::Query(query)),
            }
        }
        self.owner.reply()
    }

    /// Whether nothing asked is unanswered.
    pub fn is_idle(&self) -> bool {
        self.readers.is_idle() && self.owner.is_idle()
    }

    /// Lets both finish what they have and waits for their end; the owner goes last, and with it the file.
    pub fn stop(self) {
        self.readers.stop();
        self.owner.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubling_crew(threads: usize) -> (Crew<u32, u32>, Bell) {
        let (bell, watch) = (Bell::default(), Watch::new().0);
        bell.listen();
        let (mut crew, bench) = Crew::new(2, 2);
        for _ in 0..threads {
            let (bench, bell) = (bench.clone(), bell.clone());
            crew.start("test", &watch, move || bench.work(&bell, |n: u32| n * 2))
                .expect("started");
        }
        (crew, bell)
    }

    #[test]
    fn more_questions_than_fit_the_queues_are_all_answered() {
        let (mut crew, _bell) = doubling_crew(3);
        (0..1000).for_each(|n| crew.ask(n));
        let mut replies = Vec::new();
        while !crew.is_idle() {
            match crew.reply() {
                Some(reply) => replies.push(reply),
                None => std::thread::park(),
            }
        }
        replies.sort_unstable();
        assert_eq!(replies, (0..1000).map(|n| n * 2).collect::<Vec<_>>());
        crew.stop();
    }

    #[test]
    fn one_thread_answers_in_order() {
        let (mut crew, _bell) = doubling_crew(1);
        (0..100).for_each(|n| crew.ask(n));
        let mut replies = Vec::new();
        while !crew.is_idle() {
            match crew.reply() {
                Some(reply) => replies.push(reply),
                None => std::thread::park(),
            }
        }
        assert_eq!(replies, (0..100).map(|n| n * 2).collect::<Vec<_>>());
        crew.stop();
    }

    #[test]
    fn a_crew_with_unfetched_answers_can_be_stopped() {
        let (mut crew, _bell) = doubling_crew(2);
        (0..50).for_each(|n| crew.ask(n));
        crew.stop();
    }
}
