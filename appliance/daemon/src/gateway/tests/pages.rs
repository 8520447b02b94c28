//! Pages of listings that take long: whoever asks for many keeps nobody else waiting.

use stele_gateway::limits::{PAGE_COUNT_MAX, PAGE_OF_PARTY_COUNT_MAX};
use stele_gateway::message::{Answer, ListWish, Refusal, Request, SessionId};
use stele_gateway::wire::Up;
use stele_store::request::{Answer as Answered, Command};
use tokio::sync::mpsc;

use super::super::porter::Question;
use super::super::signer::wanting;
use super::{Evil, OTHER, Vault, now, stop};
use crate::limits::QUESTION_QUEUE_COUNT_MAX;

fn list() -> Request {
    Request::List(ListWish {
        bucket: "locked".to_owned(),
        entries_max: 10,
        ..ListWish::default()
    })
}

/// What answers nothing by itself, in the place of the engine.
fn slow_engine(vault: &mut Vault) -> mpsc::Receiver<Question> {
    let (questions, engine) = mpsc::channel(QUESTION_QUEUE_COUNT_MAX);
    vault.tools.questions = questions;
    engine
}

impl Evil {
    async fn begin(&mut self, session: SessionId, request: Request) {
        self.last += 1;
        let ask = Up::Ask {
            number: self.last,
            session,
            request,
            piece: None,
        };
        self.send(&ask).await;
    }

    /// Becomes this client and asks for so many pages, of which each comes to the engine.
    async fn fill(
        &mut self,
        key_id: &str,
        engine: &mut mpsc::Receiver<Question>,
        count: usize,
    ) -> (SessionId, Vec<Question>) {
        key_id.clone_into(&mut self.key_id);
        let session = self.enter_for(wanting(&list())).await;
        let mut held = Vec::new();
        for _ in 0..count {
            self.begin(session, list()).await;
            held.push(engine.recv().await.expect("asked"));
        }
        (session, held)
    }
}

fn answer(question: Question) {
    let empty = Answered::Buckets(Vec::new());
    question.reply.send(Ok(empty)).expect("somebody waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_owner_with_all_its_pages_keeps_nothing_else_waiting() {
    let mut vault = Vault::start().await;
    let second = ("STELESECOND", "other");
    vault.let_in_all(&[(OTHER, "other"), second]).await;
    let mut engine = slow_engine(&mut vault);
    let mut evil = vault.gateway();
    let share = PAGE_OF_PARTY_COUNT_MAX;
    let (session, mut held) = evil.fill(OTHER, &mut engine, share).await;
    evil.refused(session, list(), Refusal::Busy).await;
    let (session, _) = evil.fill(second.0, &mut engine, 0).await;
    evil.refused(session, list(), Refusal::Busy).await;
    // Of the same key what is no page, and of another a page.
    let bucket = Request::HeadBucket {
        name: "locked".to_owned(),
    };
    let heading = evil.enter_for(wanting(&bucket)).await;
    evil.begin(heading, bucket).await;
    let question = engine.recv().await.expect("asked");
    assert!(matches!(question.command, Command::HeadBucket { .. }));
    let first = vault.key_id.clone();
    held.extend(evil.fill(&first, &mut engine, 1).await.1);
    // One that is answered makes room for one.
    answer(held.remove(0));
    assert!(matches!(evil.reply().await.1, Ok(Answer::Buckets(_))));
    held.extend(evil.fill(OTHER, &mut engine, 1).await.1);
    assert_eq!(held.len(), share + 1);
    drop(held);
    stop(vault, evil).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_pages_together_are_bounded_and_keep_nothing_else_waiting() {
    let mut vault = Vault::start().await;
    let shares = PAGE_COUNT_MAX / PAGE_OF_PARTY_COUNT_MAX;
    let others: Vec<_> = (0..shares)
        .map(|number| (format!("STELE{number}"), format!("owner{number}")))
        .collect();
    let clients = others
        .iter()
        .map(|(id, owner)| (id.as_str(), owner.as_str()));
    vault.let_in_all(&clients.collect::<Vec<_>>()).await;
    let mut engine = slow_engine(&mut vault);
    let mut evil = vault.gateway();
    let mut held = Vec::new();
    for (key_id, _) in &others {
        let filled = evil.fill(key_id, &mut engine, PAGE_OF_PARTY_COUNT_MAX);
        held.extend(filled.await.1);
    }
    assert_eq!(held.len(), PAGE_COUNT_MAX);
    let first = vault.key_id.clone();
    let (session, _) = evil.fill(&first, &mut engine, 0).await;
    evil.refused(session, list(), Refusal::Busy).await;
    evil.enter("guessed", now()).await.expect_err("not signed");
    let bucket = Request::HeadBucket {
        name: "locked".to_owned(),
    };
    let session = evil.enter_for(wanting(&bucket)).await;
    evil.begin(session, bucket).await;
    let question = engine.recv().await.expect("asked");
    assert!(matches!(question.command, Command::HeadBucket { .. }));
    answer(held.remove(0));
    evil.reply().await.1.expect("a page");
    held.extend(evil.fill(&first, &mut engine, 1).await.1);
    drop(held);
    stop(vault, evil).await;
}
