//! Waiting for what a cluster does by itself.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::bail;

/// The longest that anything is waited for unless the caller says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How long after a question is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks until there is an answer. An error counts as "not yet", and the last one is told if the patience ends.
pub async fn until<T, F, A>(what: &str, question: F) -> anyhow::Result<T>
where
    F: FnMut() -> A,
    A: Future<Output = anyhow::Result<Option<T>>>,
{
    within(PATIENCE, what, question).await
}

/// As [`until`], with another patience.
pub async fn within<T, F, A>(patience: Duration, what: &str, mut question: F) -> anyhow::Result<T>
where
    F: FnMut() -> A,
    A: Future<Output = anyhow::Result<Option<T>>>,
{
    let mut last: Option<anyhow::Error> = None;
    let answer = tokio::time::timeout(patience, async {
        loop {
            match question().await {
                Ok(Some(answer)) => return answer,
                Ok(None) => last = None,
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await;
    match (answer, last) {
        (Ok(answer), _) => Ok(answer),
        (Err(_), Some(error)) => Err(error.context(format!("waited {} s in vain until {what}", patience.as_secs()))),
        (Err(_), None) => bail!("waited {} s in vain until {what}", patience.as_secs()),
    }
}

/// Asks until the answer is the one that is wanted; tells the last one if it never is.
pub async fn until_equal<T, F, A>(what: &str, want: T, mut question: F) -> anyhow::Result<()>
where
    T: PartialEq + Debug,
    F: FnMut() -> A,
    A: Future<Output = anyhow::Result<T>>,
{
    until(what, || {
        let answer = question();
        let want = &want;
        async move {
            let seen = answer.await?;
            if seen == *want { Ok(Some(())) } else { bail!("found {seen:?}, expected {want:?}") }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn an_error_is_asked_past() {
        let asked = Cell::new(0);
        let answer = until("it works", || {
            asked.set(asked.get() + 1);
            let nth = asked.get();
            async move { if nth < 3 { bail!("not yet") } else { Ok(Some(nth)) } }
        })
        .await;
        assert_eq!(answer.unwrap(), 3);
    }

    #[tokio::test]
    async fn the_last_error_is_told() {
        let error = within::<(), _, _>(Duration::ZERO, "it works", || async { bail!("the port is closed") }).await;
        assert_eq!(format!("{:#}", error.unwrap_err()), "waited 0 s in vain until it works: the port is closed");
    }
}
