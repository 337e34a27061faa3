//! What the process says about itself, beside what is pushed.

use crate::{
    call::Calls,
    gateway::{Gateway, request, scrape},
};

/// The lines of one family, with its header.
fn family(page: &str, name: &str) -> String {
    let of = |line: &&str| line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ").starts_with(name);
    page.lines().filter(of).map(|line| format!("{line}\n")).collect()
}

#[test]
fn pushes_are_measured_by_method_good_or_bad() {
    let calls = Calls::new();
    for name in ["pushgateway_http_push_size_bytes", "pushgateway_http_push_duration_seconds"] {
        assert_eq!(family(&calls.page(), name), "");
    }
    calls.put("/metrics/job/j", "x 1\n").is(200, "");
    assert_eq!(calls.put("/metrics/job/j", "x\n").status, 400);
    let page = calls.page();
    let sizes = family(&page, "pushgateway_http_push_size_bytes");
    let expected = "# HELP pushgateway_http_push_size_bytes HTTP request size for pushes to the Pushgateway.\n\
                    # TYPE pushgateway_http_push_size_bytes summary\n\
                    pushgateway_http_push_size_bytes{method=\"put\",quantile=\"0.1\"} ";
    assert!(sizes.starts_with(expected), "{sizes}");
    assert!(sizes.contains("\npushgateway_http_push_size_bytes_count{method=\"put\"} 2\n"), "{sizes}");
    let durations = family(&page, "pushgateway_http_push_duration_seconds");
    let expected = "# HELP pushgateway_http_push_duration_seconds HTTP request duration for pushes to the Pushgateway.\n\
                    # TYPE pushgateway_http_push_duration_seconds summary\n";
    assert!(durations.starts_with(expected), "{durations}");
    for quantile in ["0.1", "0.5", "0.9"] {
        let series = format!("\npushgateway_http_push_duration_seconds{{method=\"put\",quantile=\"{quantile}\"}} ");
        assert!(durations.contains(&series), "{durations}");
    }
    assert!(durations.contains("\npushgateway_http_push_duration_seconds_count{method=\"put\"} 2\n"), "{durations}");
}

#[test]
fn the_page_says_how_much_is_stored() {
    let calls = Calls::new();
    let check = |groups: u32, series: u32| {
        let page = calls.page();
        let expected = format!("# TYPE sidegate_groups gauge\nsidegate_groups {groups}\n");
        assert!(page.contains(&expected), "{page}");
        let expected = format!("# TYPE sidegate_series gauge\nsidegate_series {series}\n");
        assert!(page.contains(&expected), "{page}");
    };
    check(0, 0);
    calls.put("/metrics/job/j", "x{a=\"1\"} 1\nx{a=\"2\"} 1\n# TYPE s summary\ns_sum 1\ns_count 1\n").is(200, "");
    calls.put("/metrics/job/k", "x 1\n").is(200, "");
    check(2, 4);
    assert_eq!(calls.put("/metrics/job/refused", "x 1 5\n").status, 400);
    check(3, 4);
    calls.put("/metrics/job/j", "").is(200, "");
    assert_eq!(calls.push_listener("DELETE", "/metrics/job/k", &[], "").status, 202);
    check(2, 0);
}

#[test]
fn scrapes_are_timed_and_other_reads_are_not() {
    let (_gateway, _, page) = Gateway::sidecar(&[]);
    let name = "sidegate_scrape_duration_seconds";
    assert_eq!(request(page, "GET", "/metrics", &[], "").0, 200);
    assert_eq!(family(&scrape(page), name), "");
    let second = family(&scrape(page), name);
    assert!(second.contains(&format!("# TYPE {name} summary\n{name}{{quantile=\"0.1\"}} ")), "{second}");
    assert!(second.ends_with(&format!("\n{name}_count 1\n")) && !second.contains("NaN"), "{second}");
}

/// Somebody pushes every second, for years.
#[test]
fn what_goes_well_leaves_nothing_in_the_log() {
    let mut gateway = Gateway::start(&["--web.listen-address=127.0.0.1:0"]);
    let address = gateway.address("all");
    for (method, body, status) in [("PUT", "x 1\n", 200), ("POST", "y 1\n", 200), ("DELETE", "", 202)] {
        for _ in 0..3 {
            assert_eq!(request(address, method, "/metrics/job/j", &[], body).0, status);
        }
    }
    // It cannot be read, which is nobody's business but the client's.
    assert_eq!(request(address, "PUT", "/metrics/job/j", &[], "x\n").0, 400);
    scrape(address);
    let log = gateway.kill();
    let lines: Vec<_> = log.lines().filter(|line| !line.contains("msg=listening")).collect();
    assert!(matches!(lines[..], [start] if start.contains("msg=starting")), "{log}");
}

#[test]
fn a_client_may_push_families_of_its_own_process_beside_ours() {
    let mut gateway = Gateway::start(&["--web.listen-address=127.0.0.1:0"]);
    let address = gateway.address("all");
    let body = "# HELP process_open_fds Another help.\n# TYPE process_open_fds gauge\nprocess_open_fds 7\n";
    assert_eq!(request(address, "PUT", "/metrics/job/j", &[], body).0, 200);
    let found = family(&scrape(address), "process_open_fds");
    let header = "# HELP process_open_fds Number of open file descriptors.\n# TYPE process_open_fds gauge\n";
    assert!(found.starts_with(header), "{found}");
    assert!(found.ends_with("process_open_fds{instance=\"\",job=\"j\"} 7\n"), "{found}");
    assert_eq!(found.lines().count(), 4, "{found}");
}

#[test]
fn a_family_of_ours_is_refused_with_another_type_and_so_are_its_parts() {
    let calls = Calls::new();
    for body in
        ["process_open_fds 7\n", "pushgateway_http_push_size_bytes 1\n", "pushgateway_http_push_size_bytes_sum 1\n"]
    {
        let answer = calls.put("/metrics/job/j", body);
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.text().contains(body.split(' ').next().unwrap()), "{}", answer.text());
    }
}
