//! The index as its two threads answer: what is read, and everything else, each in order, and neither in that of
//! the other. A query may be answered from before a commit that is confirmed first.

use std::collections::VecDeque;

use stele_store::index::{IndexReader, IndexReply, IndexRequest, IndexStore, Query};

use crate::rng::Rng;

/// The index and what was asked of it.
pub struct Index {
    owner: IndexStore,
    reader: IndexReader,
    queries: VecDeque<Query>,
    requests: VecDeque<IndexRequest>,
    /// Read, and not told yet.
    read: VecDeque<IndexReply>,
    /// Done, and not told yet.
    done: VecDeque<IndexReply>,
}

#[derive(Clone, Copy)]
enum Step {
    Read,
    Do,
    TellRead,
    TellDone,
}

impl Index {
    /// Nothing is asked yet.
    pub fn new(owner: IndexStore) -> Self {
        Self {
            reader: owner.reader(),
            owner,
            queries: VecDeque::new(),
            requests: VecDeque::new(),
            read: VecDeque::new(),
            done: VecDeque::new(),
        }
    }

    pub fn ask(&mut self, request: IndexRequest) {
        match request {
            IndexRequest::Query(query) => self.queries.push_back(query),
            request => self.requests.push_back(request),
        }
    }

    /// Whether nothing asked is unanswered.
    pub fn is_idle(&self) -> bool {
        self.queries.is_empty()
            && self.requests.is_empty()
            && self.read.is_empty()
            && self.done.is_empty()
    }

    /// One of the threads does something, or what it did is told.
    pub fn step(&mut self, rng: &mut Rng) -> Option<IndexReply> {
        let steps = [
            (Step::Read, self.queries.is_empty()),
            (Step::Do, self.requests.is_empty()),
            (Step::TellRead, self.read.is_empty()),
            (Step::TellDone, self.done.is_empty()),
        ];
        let nothing = |(step, empty): (Step, bool)| (!empty).then_some(step);
        let possible: Vec<Step> = steps.into_iter().filter_map(nothing).collect();
        match rng.pick(&possible)? {
            Step::Read => match self.reader.answer(self.queries.pop_front()?) {
                Ok(reply) => self.read.push_back(reply),
                Err(query) => self.requests.push_back(IndexRequest::Query(query)),
            },
            Step::Do => {
                let request = self.requests.pop_front();
                self.done.extend(request.map(|one| self.owner.execute(one)));
            }
            Step::TellRead => return self.read.pop_front(),
            Step::TellDone => return self.done.pop_front(),
        }
        None
    }
}
