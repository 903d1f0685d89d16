//! Access reviews: everybody may do everything, but for what a fault forbids (a status of 403). So a review says no where
//! the request itself would be refused.

use serde_json::{Value, json};

use super::Call;
use crate::object;
use crate::request::{Request, Verb};

impl Call {
    /// Writes the answer into a review of what a fault forbids. Of any other, and of other objects, a status that was sent
    /// is left to the kind's own answer.
    pub(super) fn foretell(&self, review: &mut Value) {
        let of_self = self.endpoint.kind.kind == "SelfSubjectAccessReview";
        if !of_self && !matches!(self.endpoint.kind.kind.as_str(), "SubjectAccessReview" | "LocalSubjectAccessReview") {
            return;
        }
        let word = |key: &str| object::text(review, &format!("/spec/resourceAttributes/{key}")).to_owned();
        let user = object::text(review, "/spec/user");
        let asked = Request {
            component: if of_self { self.described.component.clone() } else { user.to_owned() },
            verb: verb(&word("verb")),
            group: word("group"),
            resource: word("resource"),
            subresource: word("subresource"),
            namespace: word("namespace"),
            name: word("name"),
        };
        let forbidden = self.context.faults.forbids(&asked);
        if let Value::Object(fields) = review {
            fields.shift_remove("status");
            if forbidden {
                fields.insert("status".into(), json!({"allowed": false, "reason": "a fault forbids it"}));
            }
        }
    }
}

fn verb(word: &str) -> Verb {
    let all = [Verb::Get, Verb::List, Verb::Watch, Verb::Create, Verb::Update, Verb::Patch, Verb::Delete];
    let known = all.into_iter().chain([Verb::DeleteCollection]).find(|verb| verb.to_string() == word);
    known.unwrap_or(Verb::Other)
}
