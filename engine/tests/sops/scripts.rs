//! What each step calls, and how it ends when something fails.

use crate::stage::Stage;

/// An answer of kubectl to one question, by what its words hold.
const NODE_CORDONED: &str = "case \"$*\" in *unschedulable*) echo true ;; esac";
/// A pod of a ReplicaSet on a node that reports, until it is deleted.
const POD: &str = "
case \"$*\" in
*delete*) touch_deleted ;;
*metadata.uid*) [ -e \"$STATE/deleted\" ] || echo u1 ;;
*ownerReferences*) echo ReplicaSet ;;
*deletionTimestamp*) echo 2026-01-01T00:00:00Z ;;
*spec.nodeName*) echo n1 ;;
*-o\\ name*) echo node/n1 ;;
*Ready*) echo True ;;
esac";

/// [`POD`], some of it changed.
fn pod(changes: &[(&str, &str)]) -> String {
    let text = POD.replace("touch_deleted", ": > \"$STATE/deleted\"");
    changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

/// A row: why, the stage, the exit code, calls that must have been made in this order, calls that must not, and what is
/// told.
type Row = (&'static str, Stage, i32, &'static [&'static str], &'static [&'static str], &'static str);

fn judge(rows: Vec<Row>) {
    for (why, stage, code, made, not_made, part) in rows {
        let ran = stage.run();
        assert_eq!(ran.code, code, "{why}: {}\n{:?}", ran.told, ran.calls);
        assert!(ran.told.contains(part), "{why}: no {part:?} in {}", ran.told);
        let mut calls = ran.calls.iter();
        for call in made {
            assert!(calls.any(|made| made == call), "{why}: no {call:?} in its turn in {:?}", ran.calls);
        }
        for call in not_made {
            assert!(!ran.calls.iter().any(|made| made.starts_with(call)), "{why}: {call:?} in {:?}", ran.calls);
        }
    }
}

#[test]
fn cordon_and_uncordon_look_whether_it_worked() {
    let cordon = || Stage::new("cordon", "cordon");
    let uncordon = || Stage::new("uncordon", "uncordon");
    judge(vec![
        ("it worked", cordon().answers("kubectl", NODE_CORDONED), 0, &["kubectl cordon n1"], &[], ""),
        ("somebody uncordoned it at once", cordon(), 1, &["kubectl cordon n1"], &[], "takes pods all the same"),
        ("kubectl failed", cordon().answers("kubectl", "exit 1"), 1, &["kubectl cordon n1"], &["kubectl get"], ""),
        ("no node", cordon().detail("InvolvedObjectNode", ""), 2, &[], &["kubectl"], "names no node"),
        ("it worked", uncordon(), 0, &["kubectl uncordon n1"], &[], ""),
        ("it did not", uncordon().answers("kubectl", NODE_CORDONED), 1, &[], &[], "cordoned all the same"),
    ]);
}

#[test]
fn drain_goes_no_further_than_it_was_asked_to() {
    for sop in ["drain", "reboot"] {
        let drain = || Stage::new(sop, "drain").answers("kubectl", NODE_CORDONED);
        judge(vec![
            (
                "as a rule",
                drain(),
                0,
                &["kubectl drain n1 --ignore-daemonsets --delete-emptydir-data --timeout=10m"],
                &[],
                "",
            ),
            (
                "in a hurry",
                drain().detail("drainTimeout", "2m").detail("gracePeriod", "5").detail("force", "true"),
                0,
                &["kubectl drain n1 --ignore-daemonsets --delete-emptydir-data --timeout=2m --grace-period=5 --force"],
                &[],
                "",
            ),
            (
                "one value is one word",
                drain().detail("drainTimeout", "2m --force").detail("force", "yes --force"),
                0,
                &["kubectl drain n1 --ignore-daemonsets --delete-emptydir-data --timeout=2m --force"],
                &[],
                "",
            ),
            ("a budget holds a pod", drain().answers("kubectl", "exit 1"), 1, &[], &["kubectl get"], ""),
            ("somebody uncordoned it", drain().answers("kubectl", ""), 1, &[], &[], "takes pods again"),
        ]);
    }
}

#[test]
fn restart_pod_spares_what_nobody_would_make_again() {
    let restart = |answers: &str| Stage::new("restart-pod", "restart").answers("kubectl", answers);
    let stays = pod(&[(": > \"$STATE/deleted\"", ":")]);
    judge(vec![
        ("it ends", restart(&pod(&[])), 0, &["kubectl delete pod web-0 -n shop --wait=false"], &[], "has ended"),
        (
            "with a time to end in",
            restart(&pod(&[])).detail("gracePeriod", "5"),
            0,
            &["kubectl delete pod web-0 -n shop --wait=false --grace-period=5"],
            &[],
            "",
        ),
        ("it is gone", restart(""), 0, &[], &["kubectl delete"], "gone already"),
        ("its own master", restart(&pod(&[("ReplicaSet", "")])), 3, &[], &["kubectl delete"], "has no controller"),
        ("it does not end", restart(&stays), 1, &[], &[], "delete-stuck-pod is for such a pod"),
        ("kubectl may not", restart(&pod(&[(": > \"$STATE/deleted\"", "exit 1")])), 1, &[], &[], ""),
    ]);
}

#[test]
fn delete_stuck_pod_asks_whether_the_pod_may_still_run() {
    let stuck = |changes: &[(&str, &str)]| Stage::new("delete-stuck-pod", "delete").answers("kubectl", &pod(changes));
    const BY_FORCE: &[&str] = &["kubectl delete pod web-0 -n shop --grace-period=0 --force --wait=false"];
    judge(vec![
        ("its node reports", stuck(&[]), 0, BY_FORCE, &[], "is gone"),
        ("its node is gone", stuck(&[("echo node/n1", ":")]), 0, BY_FORCE, &[], "is gone"),
        (
            "nobody deleted it",
            stuck(&[("2026-01-01T00:00:00Z", "")]),
            3,
            &[],
            &["kubectl delete"],
            "restart-pod is for",
        ),
        (
            "it may still end by itself",
            stuck(&[("2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z")]),
            3,
            &[],
            &["kubectl delete"],
            "not yet 300 s",
        ),
        ("late by less than asked", stuck(&[]).detail("overdue", "999999999"), 3, &[], &["kubectl delete"], "not yet"),
        (
            "somebody's finalizer",
            stuck(&[("*Ready*) echo True", "*finalizers*) echo a.example/b")]),
            3,
            &[],
            &["kubectl delete"],
            "the finalizer a.example/b",
        ),
        (
            "its node does not report",
            stuck(&[("echo True", "echo Unknown")]),
            3,
            &[],
            &["kubectl delete"],
            "power it off",
        ),
        (
            "somebody powered it off",
            stuck(&[("echo True", "echo Unknown")]).detail("nodeIsDown", "true"),
            0,
            BY_FORCE,
            &[],
            "is gone",
        ),
        ("it is still there", stuck(&[(": > \"$STATE/deleted\"", ":")]), 1, BY_FORCE, &[], "still there"),
        ("overdue is a number", stuck(&[]).detail("overdue", "60"), 0, BY_FORCE, &[], ""),
    ]);
}

#[test]
fn drop_caches_writes_first_what_is_not_on_disk() {
    let drop = || Stage::new("drop-caches", "drop");
    judge(vec![
        ("both", drop(), 0, &["sync", "sysctl -w vm.drop_caches=3"], &[], "MemFree was"),
        ("the page cache", drop().detail("level", "1"), 0, &["sync", "sysctl -w vm.drop_caches=1"], &[], ""),
        ("another number", drop().detail("level", "4"), 2, &[], &["sync", "sysctl"], "expected 1, 2 or 3"),
        ("the kernel refuses", drop().answers("sysctl", "exit 1"), 1, &["sync"], &[], ""),
    ]);
}

#[test]
fn reset_gpu_refuses_while_anybody_uses_it() {
    let reset = |answers: &str| Stage::new("reset-gpu", "reset").answers("nvidia-smi", answers);
    judge(vec![
        (
            "all that there are",
            reset(""),
            0,
            &[
                "nvidia-smi --query-gpu=index,uuid,name --format=csv,noheader",
                "nvidia-smi --query-compute-apps=gpu_uuid,pid,process_name --format=csv,noheader",
                "nvidia-smi --gpu-reset",
                "nvidia-smi --query-gpu=index,uuid,name --format=csv,noheader",
            ],
            &[],
            "",
        ),
        ("one of them", reset("").detail("gpu", "3"), 0, &["nvidia-smi --gpu-reset -i 3"], &[], ""),
        (
            "a job runs on it",
            reset("case \"$*\" in *compute-apps*) echo 'GPU-1, 42, python' ;; esac"),
            3,
            &[],
            &["nvidia-smi --gpu-reset"],
            "refused: processes use the GPU: GPU-1, 42, python",
        ),
        (
            "it does not tell",
            reset("case \"$*\" in *compute-apps*) exit 9 ;; esac"),
            4,
            &[],
            &["nvidia-smi --gpu-reset"],
            "does not tell who uses the GPU",
        ),
        ("no driver", reset("").without("nvidia-smi"), 4, &[], &["nvidia-smi"], "finds no GPU at all"),
        (
            "something holds it",
            reset("case \"$*\" in *--gpu-reset*) exit 1 ;; esac"),
            1,
            &["nvidia-smi --gpu-reset"],
            &[],
            "something still holds the GPU",
        ),
    ]);
}

#[test]
fn a_unit_counts_as_restarted_once_it_has_stayed_active() {
    for (sop, unit) in [("restart-kubelet", "kubelet"), ("restart-runtime", "containerd")] {
        let ran = Stage::new(sop, "restart").answers("systemctl", "case $1 in is-active) echo active ;; esac").run();
        assert_eq!(ran.code, 0, "{}", ran.told);
        assert_eq!(ran.calls[0], format!("systemctl restart {unit}"));
        assert_eq!(ran.calls[1..], vec![format!("systemctl is-active {unit}"); 5]);
    }
    let restart = |answers: &str| Stage::new("restart-runtime", "restart").answers("systemctl", answers);
    judge(vec![
        (
            "another unit",
            restart("echo active").detail("unit", "crio"),
            0,
            &["systemctl restart crio", "systemctl is-active crio"],
            &[],
            "crio is active",
        ),
        ("there is no such unit", restart("exit 5"), 1, &[], &["systemctl is-active"], "could not restart containerd"),
        (
            "it falls again",
            restart("case $1 in is-active) echo failed; exit 3 ;; status) echo why; exit 3 ;; esac"),
            1,
            &["systemctl status --no-pager --lines=20 containerd"],
            &[],
            "containerd is failed",
        ),
    ]);
    let ready = |answers: &str| Stage::new("restart-kubelet", "ready").answers("kubectl", answers);
    judge(vec![
        ("the node reports", ready("echo True"), 0, &[], &[], "node n1 is ready"),
        ("it does not", ready("echo Unknown"), 1, &[], &[], "node n1 is not ready"),
    ]);
}

#[test]
fn reboot_restarts_once_and_only_in_a_while() {
    let look = |answers: &str| Stage::new("reboot", "look").answers("kubectl", answers);
    let restart = || Stage::new("reboot", "restart").variable("BEFORE", "boot-1/open");
    let back =
        |answers: &str| Stage::new("reboot", "back").variable("BEFORE", "boot-1/open").answers("kubectl", answers);
    let again = "case \"$*\" in *bootID*) echo boot-2 ;; *Ready*) echo True ;; esac";
    judge(vec![
        ("open", look("case \"$*\" in *bootID*) echo boot-1 ;; esac"), 0, &[], &[], "boot-1/open"),
        (
            "cordoned",
            look("case \"$*\" in *bootID*) echo boot-1 ;; *) echo true ;; esac"),
            0,
            &[],
            &[],
            "boot-1/cordoned",
        ),
        ("it could not be told", look(""), 1, &[], &[], "tells no boot ID"),
        (
            "in a minute, when the step has ended",
            restart(),
            0,
            &["shutdown -r +1 {{workflow.name}} asks for it"],
            &["reboot", "systemctl"],
            "restarts in a minute",
        ),
        (
            "run once more after the restart",
            restart().variable("BEFORE", "boot-0/open"),
            0,
            &[],
            &["shutdown"],
            "has restarted since",
        ),
        ("refused", restart().answers("shutdown", "exit 1"), 1, &[], &[], "could not be asked for"),
        ("it is back", back(again), 0, &["kubectl uncordon n1"], &[], ""),
        (
            "it was cordoned before",
            back(again).variable("BEFORE", "boot-1/cordoned"),
            0,
            &[],
            &["kubectl uncordon"],
            "stays so",
        ),
        ("it never went", back("echo boot-1"), 1, &[], &["kubectl uncordon"], "it stays cordoned"),
        (
            "it is not ready",
            back("case \"$*\" in *bootID*) echo boot-2 ;; *Ready*) echo False ;; esac"),
            1,
            &[],
            &["kubectl uncordon"],
            "has not come back",
        ),
        ("the API server is away", back("exit 1"), 1, &[], &["kubectl uncordon"], "has not come back"),
    ]);
}

#[test]
fn collect_diagnostics_tells_what_it_can() {
    let collect = || Stage::new("collect-diagnostics", "collect");
    judge(vec![
        ("all of it", collect(), 0, &["uptime", "df -h", "systemctl --failed --no-pager", "nvidia-smi"], &[], "[gpu]"),
        (
            "fewer lines",
            collect().detail("lines", "50"),
            0,
            &["journalctl --no-pager --lines=50 --unit=kubelet"],
            &[],
            "",
        ),
        (
            "no GPU",
            collect().without("nvidia-smi"),
            0,
            &["uptime"],
            &["nvidia-smi"],
            "- not to be had: nvidia-smi ended with 127",
        ),
        ("no way in", collect().answers("nsenter", "exit 1"), 1, &[], &["uptime"], "could not be entered"),
    ]);
}
