//! What stands in the way of an installation, as installing itself would find it.

use super::finding::Finding;
use super::world::World;
use crate::failure::{Failure, Kind};
use crate::install::objections;
use crate::install::shipped::{VERSION, Wanted};
use crate::install::survey::Found;

const FAMILY: &str = "install";

pub(super) async fn look(world: &World) -> Result<Found, Failure> {
    Found::look(&world.client, &world.namespace).await
}

pub(super) fn judge(found: &Result<Found, Failure>, namespace: &str) -> Result<Vec<Finding>, Failure> {
    const NAME: &str = "in the way";
    let found = match found {
        Ok(found) => found,
        Err(failure) if failure.kind() == Kind::Forbidden => {
            let right = failure.remedy().unwrap_or("the rights of an administrator").to_owned();
            let right = right.strip_prefix("ask for a role with the verb ").unwrap_or(&right).to_owned();
            return Ok(vec![Finding::denied(FAMILY, NAME, right)]);
        }
        Err(failure) => return Ok(vec![Finding::unknown(FAMILY, NAME, failure.to_string())]),
    };
    // Policies may be left out, which the check of the API server says.
    let wanted = Wanted { monitoring: false, policies: false, ..Wanted::everything(namespace) };
    let objections = objections::objections(found, &wanted)?;
    if !objections.is_empty() {
        let told = objections.iter().map(|objection| {
            let finding = Finding::failed(FAMILY, NAME, objection.to_string());
            let finding = match objection.remedy() {
                Some(remedy) => finding.mend(remedy),
                None => finding,
            };
            if objection.kind() == Kind::NotInstalled { finding.skew() } else { finding }
        });
        return Ok(told.collect());
    }
    let what = match (found.is_installed(), found.version()) {
        (false, _) => "nothing; `kubectl aegis install` would install it".to_owned(),
        (true, Some(version)) => format!("nothing; version {version} is there, this plugin carries {VERSION}"),
        (true, None) => format!("nothing; an installation is there, this plugin carries {VERSION}"),
    };
    Ok(vec![Finding::ok(FAMILY, NAME, what)])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::finding::Status;

    #[test]
    fn what_would_be_refused_is_found_before() {
        let judged = |found: Result<Found, Failure>| judge(&found, "monitoring").unwrap().remove(0);
        assert_eq!(judged(Ok(Found::default())).status, Status::Ok, "an API server without policies is no obstacle");
        let old = Found { old_pods: vec!["monitoring/old".into()], ..Found::default() };
        let old = judged(Ok(old));
        assert!(
            old.status == Status::Failed && old.remedy.as_ref().unwrap().contains("kubectl delete deployment"),
            "{old:?}"
        );
        let labels = json!({"app.kubernetes.io/version": "99.0.0"});
        let selector = json!({"matchLabels": {"app.kubernetes.io/name": "aegis"}});
        let later = json!({"metadata": {"labels": labels}, "spec": {"selector": selector}});
        let later = judged(Ok(Found { deployment: Some(later), ..Found::default() }));
        assert!(later.status == Status::Failed && later.not_installed, "{later:?}");
        let denied =
            Failure::new(Kind::Forbidden, "no").hint("ask for a role with the verb get on x in the whole cluster");
        assert_eq!(judged(Err(denied)).missing.as_deref(), Some("get on x in the whole cluster"));
    }
}
