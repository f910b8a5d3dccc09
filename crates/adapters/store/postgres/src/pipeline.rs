//! Many statements, one round trip: all are sent before the first answer is awaited. Answers come in the order of sending.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use deadpool_postgres::Object;
use stoa_kernel::store::Value;
use stoa_store::render::Rendered;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row};

use crate::bind::{Bind, type_of};

type Answer<'p> = Pin<Box<dyn Future<Output = Result<Vec<Row>, Error>> + Send + 'p>>;

/// Statements that are sent together.
pub(crate) struct Pipeline<'p> {
    connection: &'p Object,
    /// Whether statements are prepared by name.
    prepared: bool,
    answers: Vec<Answer<'p>>,
}

/// A connection of the pool. One whose work was cut off in the middle is thrown away: it may still be busy, or inside a transaction.
pub(crate) struct Lent {
    object: Option<Object>,
    is_clean: bool,
}

impl Lent {
    pub(crate) const fn new(object: Object) -> Self {
        Self { object: Some(object), is_clean: false }
    }

    /// The work has come to its end.
    pub(crate) const fn done(&mut self) {
        self.is_clean = true;
    }

    pub(crate) const fn get(&self) -> Option<&Object> {
        self.object.as_ref()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (false, Some(object)) = (self.is_clean, self.object.take()) {
            drop(Object::take(object));
        }
    }
}

/// A statement with its values.
#[derive(Clone, Copy)]
pub(crate) struct Sent<'p> {
    pub(crate) sql: &'p str,
    pub(crate) values: &'p [Value],
    pub(crate) kinds: &'p [stoa_kernel::store::Kind],
}

impl<'p> Sent<'p> {
    pub(crate) fn of(text: &'p Rendered, values: &'p [Value]) -> Self {
        Self { sql: &text.sql, values, kinds: &text.kinds }
    }
}

/// Many values of one kind, as one parameter.
#[derive(Debug)]
pub(crate) enum Array {
    Integers(Vec<i64>),
    Booleans(Vec<bool>),
    Texts(Vec<Option<String>>),
    Bytes(Vec<Vec<u8>>),
}

impl Array {
    fn parameter(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Self::Integers(values) => (values, Type::INT8_ARRAY),
            Self::Booleans(values) => (values, Type::BOOL_ARRAY),
            Self::Texts(values) => (values, Type::TEXT_ARRAY),
            Self::Bytes(values) => (values, Type::BYTEA_ARRAY),
        }
    }
}

impl<'p> Pipeline<'p> {
    pub(crate) fn new(connection: &'p Object, prepared: bool) -> Self {
        Self { connection, prepared, answers: Vec::new() }
    }

    /// Statements without values, which nobody but this program writes.
    pub(crate) fn plain(&mut self, sql: String) {
        let connection = self.connection;
        self.answers.push(Box::pin(async move { connection.batch_execute(&sql).await.map(|()| Vec::new()) }));
    }

    /// A statement with values. Its answer is that of the next place.
    pub(crate) async fn send(&mut self, sent: Sent<'p>) -> Result<(), Error> {
        let connection = self.connection;
        if self.prepared {
            // A round trip the first time on this connection; found in memory from then on.
            let statement = connection.prepare_cached(sent.sql).await?;
            self.answers.push(Box::pin(async move {
                let values: Vec<Bind<'_>> = sent.values.iter().map(Bind).collect();
                let values: Vec<&(dyn ToSql + Sync)> =
                    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
                connection.query(&statement, &values).await
            }));
        } else {
            self.answers.push(Box::pin(async move {
                let values: Vec<Bind<'_>> = sent.values.iter().map(Bind).collect();
                let values: Vec<(&(dyn ToSql + Sync), Type)> = values
                    .iter()
                    .zip(sent.kinds)
                    .map(|(value, &kind)| (value as &(dyn ToSql + Sync), type_of(kind)))
                    .collect();
                connection.query_typed(sent.sql, &values).await
            }));
        }
        Ok(())
    }

    /// A statement over arrays.
    pub(crate) async fn send_arrays(&mut self, sql: &'p str, arrays: Vec<Array>) -> Result<(), Error> {
        let connection = self.connection;
        if self.prepared {
            let statement = connection.prepare_cached(sql).await?;
            self.answers.push(Box::pin(async move {
                let values: Vec<&(dyn ToSql + Sync)> =
                    arrays.iter().map(|array| array.parameter().0).collect();
                connection.query(&statement, &values).await
            }));
        } else {
            self.answers.push(Box::pin(async move {
                let values: Vec<(&(dyn ToSql + Sync), Type)> = arrays.iter().map(Array::parameter).collect();
                connection.query_typed(sql, &values).await
            }));
        }
        Ok(())
    }

    /// A statement whose text is made for this one time.
    pub(crate) fn send_owned(
        &mut self,
        sql: String,
        values: &'p [Value],
        kinds: Vec<stoa_kernel::store::Kind>,
    ) {
        let connection = self.connection;
        self.answers.push(Box::pin(async move {
            let values: Vec<Bind<'_>> = values.iter().map(Bind).collect();
            let values: Vec<(&(dyn ToSql + Sync), Type)> = values
                .iter()
                .zip(kinds)
                .map(|(value, kind)| (value as &(dyn ToSql + Sync), type_of(kind)))
                .collect();
            connection.query_typed(&sql, &values).await
        }));
    }

    /// Sends everything, then awaits all answers: those before the first error, and it.
    pub(crate) async fn run(self) -> (Vec<Vec<Row>>, Option<Error>) {
        let mut waiting: Vec<futures_util::future::MaybeDone<Answer<'p>>> =
            self.answers.into_iter().map(futures_util::future::maybe_done).collect();
        // A statement is sent when its answer is first asked for.
        poll_fn(|context| {
            for answer in &mut waiting {
                let _ = Pin::new(answer).poll(context);
            }
            Poll::Ready(())
        })
        .await;
        let (mut found, mut failed) = (Vec::with_capacity(waiting.len()), None);
        for mut answer in waiting {
            let mut answer = Pin::new(&mut answer);
            answer.as_mut().await;
            match answer.take_output() {
                Some(Ok(rows)) if failed.is_none() => found.push(rows),
                Some(Err(error)) if failed.is_none() => failed = Some(error),
                _ => {}
            }
        }
        (found, failed)
    }
}
