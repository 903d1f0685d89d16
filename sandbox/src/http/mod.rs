//! The HTTP side: requests come in as paths, queries and bodies, and leave as operations on the [`Api`].

pub(crate) mod answer;
mod body;
mod discovery;
mod openapi;
mod path;
mod pod_log;
mod query;
mod read;
mod review;
mod server;
mod subresource;
mod watch;
mod write;

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;

use crate::api::Api;
use crate::fault::{Faults, Step};
use crate::request::{Request, component};
use crate::request_log::RequestLog;
use crate::status::ApiError;
use answer::{Answer, Broken};
use path::Route;
pub(crate) use server::{Running, run};

/// All that a request can reach.
pub(crate) struct Context {
    pub(crate) api: Arc<Api>,
    pub(crate) faults: Faults,
    pub(crate) requests: RequestLog,
    /// How often an idle watch that allows it gets a bookmark.
    pub(crate) bookmarks: Duration,
}

type HttpRequest = http::Request<Incoming>;

/// Answers one request, faults included. An error closes the connection.
pub(crate) async fn serve(context: Arc<Context>, request: HttpRequest) -> Result<Answer, Broken> {
    let user_agent =
        request.headers().get(http::header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let route = Route::parse(request.method(), request.uri());
    let described = route.describe(component(user_agent), request.uri().path());
    let sequence = context.requests.arrived(&described);
    let verdict = context.faults.judge(&described);
    let answer = match suffer(verdict.before).await? {
        Some(refused) => answer::refusal(&refused),
        None => {
            let answer = dispatch(&context, &route, &described, request, verdict.watch)
                .await
                .unwrap_or_else(|error| answer::refusal(&error));
            match suffer(verdict.after).await? {
                Some(refused) => answer::refusal(&refused),
                None => answer,
            }
        }
    };
    context.requests.answered(sequence, &described, answer.status().as_u16());
    Ok(answer)
}

/// Carries out faults. Some answer in place of the request, some close the connection.
async fn suffer(steps: Vec<Step>) -> Result<Option<ApiError>, Broken> {
    for step in steps {
        match step {
            Step::Delay(time) => tokio::time::sleep(time).await,
            Step::Status(code, retry_after) => return Ok(Some(ApiError::injected(code, retry_after))),
            Step::Reset => return Err(Broken),
            Step::Hang(mut released) => {
                // When the rule is gone altogether, the request goes on.
                let _ = released.wait_for(|released| *released).await;
            }
            Step::Reached(reached) => {
                reached.send_replace(true);
            }
        }
    }
    Ok(None)
}

async fn dispatch(
    context: &Arc<Context>,
    route: &Route,
    described: &Request,
    request: HttpRequest,
    watch_fault: Option<(usize, crate::fault::WatchBreak)>,
) -> Result<Answer, ApiError> {
    let (head, body) = request.into_parts();
    match route {
        Route::Health => Ok(answer::text("ok")),
        Route::Version => Ok(answer::json(200, &discovery::version())),
        Route::CoreVersions => Ok(answer::json(200, &discovery::core_versions())),
        Route::Groups => Ok(answer::json(200, &discovery::groups(&context.api.registry.index()))),
        Route::Group(group) => {
            discovery::group(&context.api.registry.index(), group).map(|group| answer::json(200, &group))
        }
        Route::Resources { group, version } => {
            discovery::resources(&context.api.registry.index(), group, version).map(|list| answer::json(200, &list))
        }
        Route::OpenApiIndex => Ok(answer::json(200, &openapi::index(&context.api.registry.index()))),
        Route::OpenApi { group, version } => openapi::document(&context.api.registry.index(), group, version)
            .map(|document| answer::json(200, &document)),
        Route::Unknown => Err(ApiError::no_such_page()),
        Route::Resource(path) => {
            let endpoint = context
                .api
                .registry
                .endpoint(&path.group, &path.version, &path.resource)
                .ok_or_else(|| discovery::missing(&context.api.registry.index(), &path.group))?;
            if endpoint.kind.namespaced && path.namespace.is_empty() && !path.name.is_empty() {
                return Err(ApiError::no_such_resource());
            }
            if !endpoint.kind.namespaced && !path.namespace.is_empty() {
                return Err(ApiError::no_such_resource());
            }
            let call = Call {
                context: context.clone(),
                endpoint,
                path: path.clone(),
                query: query::Query::parse(head.uri.query().unwrap_or_default()),
                head,
                described: described.clone(),
                watch_fault,
            };
            call.answer(body).await
        }
    }
}

/// A request for objects.
struct Call {
    context: Arc<Context>,
    endpoint: crate::kind::Endpoint,
    path: path::ResourcePath,
    query: query::Query,
    head: http::request::Parts,
    described: Request,
    watch_fault: Option<(usize, crate::fault::WatchBreak)>,
}

impl Call {
    async fn answer(self, body: Incoming) -> Result<Answer, ApiError> {
        use crate::request::Verb;
        if self.endpoint.kind.builtin().is_some_and(|builtin| builtin.review) && self.described.verb != Verb::Create {
            return Err(ApiError::method_not_allowed());
        }
        match self.described.verb {
            Verb::Watch => self.watch().await,
            Verb::List => self.list().await,
            Verb::Get if self.path.subresource == "log" => self.pod_log(),
            Verb::Get => self.get(),
            Verb::Create if self.path.subresource.is_empty() => self.create(body).await,
            Verb::Create => self.create_subresource(body).await,
            Verb::Update => self.update(body).await,
            Verb::Patch => self.patch(body).await,
            Verb::Delete => self.delete(body).await,
            Verb::DeleteCollection => self.delete_collection(body).await,
            Verb::Other => Err(ApiError::method_not_allowed()),
        }
    }

    fn target(&self) -> crate::api::Target<'_> {
        crate::api::Target { endpoint: &self.endpoint, namespace: &self.path.namespace, name: &self.path.name }
    }
}
