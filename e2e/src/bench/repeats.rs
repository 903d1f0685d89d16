//! A storm of repeats: the same incidents fire again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use super::bed::Bed;
use super::bodies::bodies;
use super::figures::{Figure, Target};
use super::sender::Sender;
use super::times::number;

const INCIDENTS: usize = 100;
const FIRES: usize = 100;
const GROUP: usize = 20;
/// How many bodies come in a second.
const RATE: f64 = 50.0;
/// Counts that are held are written within this.
const WRITTEN: Duration = Duration::from_secs(3);

pub(super) async fn measure(bed: &Bed<'_>, sender: &Sender) -> anyhow::Result<Vec<Figure>> {
    let incidents = bodies("again", INCIDENTS, GROUP);
    let alerts = bed.work_off(sender, incidents.clone()).await?;
    // The writes of that are a second away.
    tokio::time::sleep(WRITTEN).await;
    let (from, begun) = (bed.mark()?, Instant::now());
    let repeats = std::iter::repeat_n(incidents, FIRES).flatten().collect();
    sender.deliver_at(repeats, RATE).await?;
    let took = begun.elapsed();
    tokio::time::sleep(WRITTEN).await;

    let mut writes: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
    for write in bed.writes(from, bed.mark()?)? {
        let name = write.name().unwrap_or_default();
        if write.target().0 == "aegisalerts" && alerts.contains(name) {
            writes.entry(name.to_owned()).or_default().push(write.received);
        }
    }
    let all: usize = writes.values().map(Vec::len).sum();
    let most = writes.into_values().map(most_in_a_second).max().unwrap_or_default();
    let counted = count(bed, &alerts).await?;
    let name = format!("status writes per alert and second, {} re-fires of {INCIDENTS}", INCIDENTS * FIRES);
    Ok(vec![Figure::new(name, number(most), "").target(Target::AtMost(1.0)).note(format!(
        "the most in any second; {all} in all for {:.1} s, {:.2} per alert and second; {counted} of {} counted",
        took.as_secs_f64(),
        number(all) / number(INCIDENTS) / took.as_secs_f64(),
        INCIDENTS * (FIRES + 1),
    ))])
}

/// How many of these moments lie within one second at most.
fn most_in_a_second(mut moments: Vec<Timestamp>) -> usize {
    moments.sort_unstable();
    let within = |from: &Timestamp| {
        let later = moments.iter().filter(|moment| *moment >= from);
        later.take_while(|moment| moment.duration_since(*from) < SignedDuration::from_secs(1)).count()
    };
    moments.iter().map(within).max().unwrap_or_default()
}

/// What those alerts have counted in all.
async fn count(bed: &Bed<'_>, names: &BTreeSet<String>) -> anyhow::Result<i64> {
    let alerts = bed.aegis.alerts().list(&kube::api::ListParams::default()).await?;
    let ours = alerts.iter().filter(|alert| names.contains(&alert.name_any()));
    Ok(ours.filter_map(|alert| alert.status.as_ref().and_then(|status| status.count)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_any_second() {
        let at = |times: &[i64]| times.iter().map(|ms| Timestamp::from_millisecond(*ms).unwrap()).collect();
        assert_eq!(most_in_a_second(at(&[0, 1_000, 2_000])), 1, "a second apart is not in the same one");
        assert_eq!(most_in_a_second(at(&[500, 1_200, 1_499, 1_500])), 3);
        assert_eq!(most_in_a_second(at(&[])), 0);
    }
}
