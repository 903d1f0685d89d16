//! What a Kubernetes API server promises, as cases that run against any: the sandbox is trusted because it and a real
//! kube-apiserver pass the same ones.
//!
//! Each case is one promise. It gets a client and a namespace of its own, and leaves nothing behind. Run them with
//! [`run`], or make a test of each with [`contract_cases`](crate::contract_cases).

mod apply;
mod builtins;
mod cluster;
mod definitions;
mod deletion;
mod discovery;
mod lists;
mod objects;
mod patches;
mod status;
mod watches;

use std::pin::Pin;

pub use cluster::Cluster;

/// A promise and how to check it.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// `group::promise`
    pub name: &'static str,
    run: fn(Cluster) -> Outcome,
}

type Outcome = Pin<Box<dyn Future<Output = (Cluster, anyhow::Result<()>)> + Send>>;

/// Calls a macro with the list of all cases, each as `group::promise`.
#[macro_export]
macro_rules! contract_cases {
    ($with:ident) => {
        $with! {
            objects::a_create_answers_the_object_with_its_identity,
            objects::a_second_create_of_a_name_is_refused,
            objects::a_name_can_be_generated,
            objects::a_create_without_a_name_is_refused,
            objects::a_create_in_a_missing_namespace_is_refused,
            objects::a_get_of_nothing_says_what_is_missing,
            objects::an_update_with_an_old_resource_version_is_refused,
            objects::an_update_of_a_custom_resource_needs_a_resource_version,
            objects::an_update_of_a_built_in_kind_may_do_without_a_resource_version,
            objects::an_update_that_changes_nothing_keeps_the_resource_version,
            objects::an_update_of_another_uid_is_refused,
            objects::an_update_of_nothing_is_refused,
            objects::the_servers_own_metadata_cannot_be_set,
            objects::a_resource_version_cannot_be_set_on_a_new_object,
            objects::bad_names_and_labels_are_refused_with_their_fields,
            objects::the_body_must_name_what_the_path_names,
            objects::the_body_must_be_of_the_kind_of_the_path,
            objects::a_body_that_is_not_json_is_refused,
            objects::unknown_fields_are_refused_dropped_or_warned_of,
            objects::a_field_of_the_wrong_type_is_refused,
            objects::a_dry_run_stores_nothing,
            patches::a_merge_patch_merges_and_null_removes,
            patches::a_json_patch_changes_what_it_names,
            patches::a_json_patch_whose_test_fails_changes_nothing,
            patches::a_strategic_merge_patch_merges_lists_by_key,
            patches::a_strategic_merge_patch_replaces_taints,
            patches::a_custom_resource_takes_no_strategic_merge_patch,
            patches::a_patch_may_insist_on_a_resource_version,
            patches::a_patch_of_nothing_is_refused,
            patches::a_patch_that_changes_nothing_keeps_the_resource_version,
            patches::a_patch_in_an_unknown_format_is_refused,
            patches::a_patch_cannot_rename,
            apply::an_apply_creates_what_is_missing,
            apply::an_apply_needs_a_manager,
            apply::the_same_apply_twice_changes_nothing,
            apply::what_an_apply_no_longer_names_goes,
            apply::what_others_own_stays,
            apply::taking_a_field_from_another_manager_is_a_conflict,
            apply::a_forced_apply_takes_the_field,
            apply::an_update_takes_ownership_of_what_it_changes,
            apply::an_apply_to_status_owns_status_alone,
            apply::lists_with_keys_are_owned_item_by_item,
            status::a_create_drops_status,
            status::an_update_ignores_status,
            status::an_update_of_status_ignores_the_rest,
            status::a_patch_of_status_changes_status_alone,
            status::an_update_of_status_with_an_old_resource_version_is_refused,
            status::the_generation_counts_changes_of_the_spec,
            status::without_the_subresource_status_is_a_field_like_others,
            deletion::a_delete_answers_success_and_the_object_is_gone,
            deletion::a_delete_of_nothing_is_refused,
            deletion::finalizers_hold_an_object_back,
            deletion::no_finalizer_can_be_added_to_what_is_being_deleted,
            deletion::a_delete_may_insist_on_a_uid,
            deletion::a_delete_may_insist_on_a_resource_version,
            deletion::a_second_delete_keeps_the_deletion_time,
            deletion::a_collection_is_deleted_by_its_labels,
            deletion::dependents_go_after_their_owner,
            deletion::dependents_go_before_their_owner_in_the_foreground,
            deletion::orphans_stay_and_forget_their_owner,
            deletion::an_object_whose_owner_never_was_is_collected,
            deletion::a_dependent_with_another_owner_stays,
            deletion::a_namespace_takes_its_content_along,
            deletion::a_namespace_that_is_being_deleted_takes_nothing_new,
            deletion::the_default_namespace_cannot_be_deleted,
            deletion::a_job_leaves_what_it_owns_unless_told_otherwise,
            lists::a_list_tells_its_resource_version_and_is_in_order,
            lists::labels_select,
            lists::names_select,
            lists::fields_of_pods_select,
            lists::a_field_that_cannot_select_is_refused,
            lists::a_selector_that_cannot_be_read_is_refused,
            lists::selectable_fields_of_a_definition_select,
            lists::pages_tell_of_one_moment,
            lists::a_bad_continue_token_is_refused,
            lists::an_exact_resource_version_tells_of_the_past,
            lists::a_resource_version_of_the_future_times_out,
            lists::metadata_can_be_listed_alone,
            lists::a_table_has_the_columns_of_the_definition,
            lists::a_table_of_nodes_shows_what_is_cordoned,
            lists::one_list_spans_all_namespaces,
            watches::a_watch_from_a_list_tells_what_happened_since,
            watches::a_watch_without_a_resource_version_begins_with_what_is_there,
            watches::a_watch_can_ask_for_the_end_of_its_beginning,
            watches::what_enters_or_leaves_the_selection_is_added_or_deleted,
            watches::a_watch_ends_after_its_timeout,
            watches::a_watch_can_be_of_metadata_alone,
            watches::a_watch_can_be_of_one_object,
            watches::a_watch_of_one_namespace_tells_nothing_of_others,
            watches::a_watch_in_table_form_tells_rows,
            watches::a_watch_with_bad_options_is_refused,
            watches::a_deletion_is_told_with_a_new_resource_version,
            definitions::a_definition_adds_endpoints_and_takes_them_away,
            definitions::a_definition_must_be_named_after_its_kind,
            definitions::a_definition_needs_a_structural_schema,
            definitions::values_are_checked_against_the_schema,
            definitions::defaults_are_filled_in,
            definitions::unknown_fields_are_pruned_unless_kept,
            definitions::an_enum_lists_its_words_when_another_is_used,
            definitions::required_fields_are_required,
            definitions::names_and_categories_are_discoverable,
            definitions::a_cluster_scoped_kind_has_no_namespace,
            definitions::versions_differ_in_api_version_alone,
            definitions::a_changed_schema_takes_effect,
            definitions::the_objects_go_with_their_definition,
            builtins::pods_get_their_defaults,
            builtins::a_pod_needs_a_container,
            builtins::a_pod_may_not_change_its_command,
            builtins::a_pod_is_bound_once,
            builtins::an_unscheduled_pod_is_deleted_at_once,
            builtins::a_pod_on_a_node_ends_gracefully,
            builtins::a_pod_can_be_evicted,
            builtins::a_pod_needs_its_service_account,
            builtins::jobs_get_a_selector_and_labels,
            builtins::a_job_must_end,
            builtins::a_job_keeps_its_template,
            builtins::string_data_becomes_data,
            builtins::an_immutable_config_map_stays_as_it_is,
            builtins::a_node_can_be_cordoned,
            builtins::a_namespace_is_active_and_labelled_with_its_name,
            builtins::an_event_is_served_by_both_groups,
            builtins::an_event_stands_where_its_object_stands,
            builtins::events_are_selected_by_their_object,
            builtins::a_lease_changes_hands_by_resource_version,
            builtins::a_lease_needs_a_positive_duration,
            builtins::everybody_may_ask_what_is_allowed,
            builtins::roles_may_have_colons_in_their_names,
            discovery::groups_and_resources_are_listed,
            discovery::the_version_is_told,
            discovery::an_unknown_path_is_not_found,
            discovery::an_unknown_verb_is_not_allowed,
            discovery::a_form_that_cannot_be_given_is_refused,
            discovery::openapi_describes_kinds,
        }
    };
}

macro_rules! list {
    ($($group:ident :: $promise:ident),* $(,)?) => {
        &[$(Case {
            name: concat!(stringify!($group), "::", stringify!($promise)),
            run: |cluster| Box::pin(async move {
                let outcome = $group::$promise(&cluster).await;
                (cluster, outcome)
            }),
        }),*]
    };
}

/// All cases.
pub fn cases() -> &'static [Case] {
    contract_cases!(list)
}

/// Runs the case of a name against a cluster and cleans up after it.
pub async fn run(name: &str, client: kube::Client) -> anyhow::Result<()> {
    let case =
        cases().iter().find(|case| case.name == name).ok_or_else(|| anyhow::anyhow!("no case is called {name:?}"))?;
    let cluster = Cluster::new(client).await?;
    let (cluster, outcome) = (case.run)(cluster).await;
    cluster.clean_up().await;
    outcome
}
