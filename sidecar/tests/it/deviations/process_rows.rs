//! The rows about the pages, the API, limits and the process, in the order of the README; they come behind those of
//! `rows`.
//!
//! *Never:* how they are checked.

use super::{
    Row, Shown,
    rows::{NOT_FOUND, here},
};

pub(super) const PROCESS_ROWS: &[Row] = &[
    Row { name: "`/static/…`", shown: here(&[("GET", "/static/favicon.ico", &[], b"", 404, NOT_FOUND)], &[], &[]) },
    Row {
        name: "`/api/v1/status/`",
        shown: Shown::By("tests/it/paths.rs::paths_and_methods_are_answered_as_the_reference_has_it"),
    },
    Row {
        name: "`OPTIONS` below `/api/v1/`",
        shown: Shown::By("tests/it/api.rs::a_browser_that_asks_before_a_request_is_not_sent_elsewhere"),
    },
    Row {
        name: "characters that no URI has",
        shown: Shown::By("tests/it/deviations.rs::the_http_library_refuses_what_no_uri_has_without_a_sentence"),
    },
    Row {
        name: "`#` in a target, as it is",
        shown: Shown::By("tests/it/deviations.rs::a_target_ends_at_its_number_sign"),
    },
    Row { name: "a large head", shown: Shown::By("tests/it/deviations.rs::heads_over_the_limits_are_refused") },
    Row {
        name: "HTTP/1.1 without `Host`",
        shown: Shown::By("tests/it/deviations.rs::a_request_without_a_host_is_served"),
    },
    Row {
        name: "host names and `vsock://` in `--web.listen-address`",
        shown: Shown::By("tests/it/process.rs::what_this_version_cannot_do_is_refused_and_not_ignored"),
    },
    Row {
        name: "a scrape that prefers OpenMetrics",
        shown: Shown::By("tests/it/openmetrics.rs::sample_names_are_the_same_in_openmetrics"),
    },
    Row {
        name: "`_created` of a protobuf push",
        shown: Shown::By("tests/it/scrape.rs::only_a_created_line_is_shown_as_one"),
    },
    Row {
        name: "`q=0` and `*/*` in `Accept`",
        shown: Shown::By("src/exposition/negotiate/tests.rs::a_wildcard_that_stands_for_text_means_text"),
    },
    Row {
        name: "`Accept-Encoding: zstd`",
        shown: Shown::By("tests/it/formats.rs::a_page_is_compressed_as_the_reader_asks_and_says_so"),
    },
    Row {
        name: "`unit` of a protobuf push",
        shown: Shown::By("tests/it/scrape.rs::the_unit_of_a_protobuf_push_is_kept_where_the_name_ends_with_it"),
    },
    Row {
        name: "names that become one when escaped",
        shown: Shown::By("tests/it/formats.rs::what_escaping_makes_alike_is_shown_once_and_counted"),
    },
    Row {
        name: "a label `a:b` on a page",
        shown: Shown::By("src/exposition/escaping.rs::a_colon_is_legal_in_metric_names_alone"),
    },
    Row {
        name: "a bound that is no number in protobuf",
        shown: Shown::By("src/exposition/protobuf/tests.rs::what_would_break_the_page_is_refused"),
    },
    Row {
        name: "a native histogram that contradicts itself",
        shown: Shown::By("src/exposition/protobuf/tests.rs::a_native_histogram_that_contradicts_itself_is_refused"),
    },
    Row {
        name: "a label `le` on a histogram",
        shown: Shown::By("src/store/index/tests.rs::labels_that_prometheus_or_the_value_needs_are_refused"),
    },
    Row {
        name: "`--push.disable-consistency-check`",
        shown: Shown::By("tests/it/unchecked.rs::unchecked_a_push_is_answered_202_whatever_becomes_of_it"),
    },
    Row {
        name: "timestamps in a push",
        shown: Shown::By("tests/it/timestamps.rs::honored_timestamps_are_shown_and_push_times_have_none"),
    },
    Row { name: "groups nobody pushes any more", shown: Shown::By("tests/it/ttl.rs::alone_it_removes_what_is_stale") },
    Row {
        name: "removing many groups",
        shown: Shown::By("tests/it/admin.rs::groups_go_that_a_selector_matches_and_the_answer_has_their_keys"),
    },
    Row { name: "`/api/v1/metrics?group=…`", shown: Shown::By("tests/it/api.rs::one_group_is_found_by_its_path") },
    Row {
        name: "`go_…` and pprof",
        shown: here(
            &[
                ("GET", "/debug/pprof/", &[], b"", 404, NOT_FOUND),
                ("GET", "/debug/pprof/heap", &[], b"", 404, NOT_FOUND),
            ],
            &[],
            &["\ngo_"],
        ),
    },
    Row {
        name: "pushes without a job",
        shown: Shown::By("tests/it/paths.rs::without_a_job_groups_are_pushed_and_deleted_where_that_is_allowed"),
    },
    Row { name: "a push and the disk", shown: Shown::By("tests/it/storage.rs::what_was_answered_survives_a_kill") },
    Row {
        name: "`--persistence.file`",
        shown: Shown::By("tests/it/storage.rs::upstreams_flag_names_the_folder_beside_its_file_which_stays_as_it_is"),
    },
    Row {
        name: "`--persistence.interval`",
        shown: Shown::By(
            "src/store/keeping/tests.rs::an_interval_that_is_over_is_a_reason_for_a_checkpoint_where_there_is_enough_to_write",
        ),
    },
    Row { name: "a damaged file", shown: Shown::By("tests/it/storage.rs::what_can_be_read_is_served") },
    Row {
        name: "a disk that is full",
        shown: Shown::By(
            "tests/it/storage.rs::with_a_full_disk_pushes_are_503_with_the_reason_until_there_is_room_again",
        ),
    },
    Row {
        name: "DELETE of what was seen",
        shown: Shown::By("tests/it/delete.rs::a_conditional_delete_spares_a_group_that_was_pushed_since"),
    },
    Row {
        name: "a web config file that turns bad",
        shown: Shown::By("tests/it/web_config.rs::a_file_that_turns_bad_leaves_what_was_in_force"),
    },
    Row {
        name: "TLS of the web config",
        shown: Shown::By("tests/it/web_config.rs::versions_that_are_not_served_are_refused"),
    },
    Row {
        name: "`Content-Security-Policy` of the web config",
        shown: Shown::By("tests/it/web_config.rs::every_path_asks_for_a_user"),
    },
    Row { name: "exit status", shown: Shown::By("tests/it/process.rs::alone_a_taken_port_is_an_error") },
    Row { name: "shutdown", shown: Shown::By("tests/it/process.rs::a_push_under_way_at_the_end_is_answered") },
];
