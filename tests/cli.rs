//! The command as its users meet it: output, exit codes, and every kind of bad input.

mod common;

use common::fixture::Fixture;
use common::program::finish;
use resnet_cpu::gemm::Backend;
use resnet_cpu::infer::Session;
use resnet_cpu::simd::Isa;
use resnet_cpu::weights::{Overrides, WeightsFile};
use std::path::Path;
use std::process::Stdio;

#[test]
fn json_has_the_promised_shape_and_order() {
    let run = Fixture::new().infer(&["--json", "--top", "3", "images"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let keys =
        ["{\"image\":", "\"arch\":", "\"ms\":", "\"predictions\":[{\"index\":", "\"label\":"];
    let keys = keys.into_iter().chain(["\"probability\":", "\"logit\":"]);
    for line in run.out.lines() {
        let places: Vec<usize> = keys.clone().map(|key| line.find(key).expect(key)).collect();
        assert!(places.is_sorted(), "{line}");
    }
    let lines = run.json();
    let images: Vec<&str> = lines.iter().map(|line| line["image"].as_str().unwrap()).collect();
    let joined = ["a.png", "b.png", "c.jpg"].map(|name| Path::new("images").join(name));
    assert_eq!(images, joined.each_ref().map(|path| path.to_str().unwrap()));
    for line in &lines {
        assert_eq!(line["arch"], "resnet20");
        assert!(line["ms"].as_f64().unwrap() > 0.0);
        let predictions = line["predictions"].as_array().unwrap();
        assert_eq!(predictions.len(), 3);
        let value = |i: usize, key: &str| predictions[i][key].as_f64().unwrap();
        assert!(value(0, "probability") >= value(1, "probability"));
        assert!(value(0, "logit") >= value(1, "logit") && value(0, "probability") <= 1.0);
        // Ten classes are no evidence of CIFAR-10's.
        assert!(predictions[0]["label"].is_null());
    }
}

#[test]
fn one_bad_image_does_not_stop_the_others() {
    let fixture = Fixture::new();
    let paths = ["images/b.png", "no-such.png", "images/a.png"];
    let run = fixture.infer(&[&["--json"], &paths[..]].concat());
    run.fails(1, &["no-such.png: no such file"]);
    let lines = run.json();
    let images: Vec<&str> = lines.iter().map(|line| line["image"].as_str().unwrap()).collect();
    assert_eq!(images, paths);
    assert_eq!(lines[1]["error"], "no such file or folder");
    assert!(lines[0]["predictions"].is_array() && lines[2]["predictions"].is_array());

    let run = fixture.infer(&paths);
    run.fails(1, &["no-such.png: no such file"]);
    assert!(run.out.starts_with("images/b.png\n  1  ") && run.out.contains("\nimages/a.png\n"));
}

#[test]
fn output_does_not_depend_on_threads() {
    let fixture = Fixture::new();
    let outputs = ["1", "2", "3"].map(|n| {
        let args = ["--threads", n, "images"];
        let run = fixture.infer(&args);
        let json = fixture.infer(&[&["--json"], &args[..]].concat()).json();
        (run.out, json.into_iter().map(|line| line["predictions"].clone()).collect::<Vec<_>>())
    });
    assert!(outputs[0] == outputs[1] && outputs[1] == outputs[2]);
    assert_eq!(outputs[0].1.len(), 3);
    let run = fixture.infer(&["--threads", "1024", "images/b.png"]);
    assert!(run.code == 0 && run.err.contains("--threads 1024: using "), "{}", run.err);
}

#[test]
fn the_other_backend_sees_the_same() {
    let fixture = Fixture::new();
    let best = |args: &[&str]| {
        let run = fixture.infer(&[args, &["--json", "--top", "1", "images"]].concat());
        assert_eq!(run.code, 0, "{}", run.err);
        let lines = run.json();
        lines.iter().map(|l| l["predictions"][0]["index"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(best(&["--backend", "matrixmultiply"]), best(&[]));
    assert_eq!(best(&["--isa", "portable"]), best(&[]));
}

#[test]
fn one_image_is_a_table_and_notes_are_apart() {
    let fixture = Fixture::new();
    let run = fixture.infer(&["--top", "2", "images/a.png"]);
    assert_eq!((run.code, run.out.lines().count()), (0, 2));
    assert!(run.out.starts_with("  1  ") && run.out.contains(" %  "), "{}", run.out);
    assert_eq!(run.err.lines().count(), 1, "{}", run.err);
    for note in ["weights.safetensors: resnet20", "assumed", "resize 32, crop 32"] {
        assert!(run.err.contains(note), "{note}: {}", run.err);
    }
    let all = fixture.infer(&["-v", "-k", "2", "images/a.png"]);
    assert!(all.out == run.out && all.err.contains("threads"), "{}", all.err);
    assert!(all.err.contains("inferred from names and shapes"), "{}", all.err);
    let run = fixture.infer(&["--quiet", "--top", "100", "images/a.png"]);
    assert_eq!((run.out.lines().count(), run.err.as_str()), (10, ""));
}

#[test]
fn weights_are_found_as_documented() {
    let fixture = Fixture::new();
    fixture.run(&["infer", "images/a.png"]).fails(2, &["no weights", "--weights"]);
    std::fs::create_dir_all(fixture.path("runs/x")).unwrap();
    std::fs::copy(fixture.path("weights.safetensors"), fixture.path("runs/x/best.safetensors"))
        .unwrap();
    let run = fixture.run(&["infer", "images/a.png"]);
    assert!(run.code == 0 && run.err.contains("best.safetensors"), "{}", run.err);
    let mut command = fixture.command(&["infer", "images/a.png"]);
    let run = finish(command.env("RESNET_CPU_WEIGHTS", "weights.safetensors"));
    assert!(run.code == 0 && run.err.contains("weights weights.safetensors"), "{}", run.err);
}

#[test]
fn preprocessing_and_labels_can_be_given() {
    let fixture = Fixture::new();
    fixture.write("labels.txt", b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
    let given = ["--mean", "0.5,0.5,0.5", "--std", "1,1,1", "--resize", "40", "--crop", "36"];
    let run = fixture.infer(&[&["--labels", "labels.txt", "images/a.png"], &given[..]].concat());
    assert_eq!(run.code, 0, "{}", run.err);
    let note = "resize 40, crop 36, mean 0.5,0.5,0.5, std 1,1,1;";
    assert!(run.err.contains(note), "{}", run.err);
    let plain = fixture.infer(&["images/a.png"]);
    assert_ne!(run.out, plain.out);
    fixture.write("labels.txt", b"a\nb\n");
    let run = fixture.infer(&["--labels", "labels.txt", "images/a.png"]);
    run.fails(1, &["labels.txt: expected 10 labels, one per class, found 2"]);
    fixture.infer(&["--labels", "none.txt", "x.png"]).fails(1, &["none.txt: cannot read labels"]);
    fixture.infer(&["--std", "0,1,1", "x"]).fails(2, &["--std", "positive"]);
    fixture.infer(&["--mean", "1,2", "x"]).fails(2, &["--mean", "three numbers"]);
    fixture.infer(&["--crop", "0", "x"]).fails(2, &["--crop"]);
    fixture.infer(&["--top", "0", "x"]).fails(2, &["--top"]);
}

#[test]
fn bad_images_are_named_with_the_reason() {
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.path("empty")).unwrap();
    fixture.write("text.jpg", b"hello, world");
    fixture.write("zero.png", b"");
    let jpeg = std::fs::read(fixture.path("images/c.jpg")).unwrap();
    fixture.write("cut.jpg", &jpeg[..jpeg.len() * 2 / 3]);
    let png = std::fs::read(fixture.path("images/a.png")).unwrap();
    fixture.write("cut.png", &png[..png.len() / 2]);
    for (path, reason) in [
        ("none.jpg", "no such file"),
        ("text.jpg", "starts with"),
        ("zero.png", "empty file"),
        ("cut.jpg", "truncated"),
        ("cut.png", ""),
        ("empty", "found none in this folder"),
    ] {
        let run = fixture.infer(&[path]);
        run.fails(1, &[&format!("error: {path}: "), reason]);
        assert_eq!(run.out, "");
    }
    fixture.run(&["infer", "--weights", "weights.safetensors"]).fails(2, &["PATH"]);
}

#[test]
fn bad_weights_are_named_with_the_reason() {
    let fixture = Fixture::new();
    let good = std::fs::read(fixture.path("weights.safetensors")).unwrap();
    fixture.write("text.safetensors", b"not weights at all");
    fixture.write("cut.safetensors", &good[..good.len() / 2]);
    fixture.weights("nan.safetensors", |p| p.by_name_mut("fc.weight").unwrap()[7] = f32::NAN);
    for (file, reason) in [
        ("none.safetensors", "cannot open"),
        ("text.safetensors", "not a readable file of weights"),
        ("cut.safetensors", "cut short"),
        ("nan.safetensors", "fc.weight"),
        ("images", "folder"),
    ] {
        let run = fixture.run(&["infer", "--weights", file, "images/a.png"]);
        run.fails(1, &[&format!("error: {file}: "), reason]);
        fixture.run(&["inspect", &format!("./{file}")]).fails(1, &[file, reason]);
    }
    fixture.infer(&["--arch", "resnet32", "x"]).fails(1, &["weights.safetensors: ", "resnet32"]);
    fixture.infer(&["--shortcut", "b", "x"]).fails(1, &["weights.safetensors: ", "shortcut"]);
    // Finite weights whose products are not.
    fixture.weights("huge.safetensors", |p| p.by_name_mut("fc.weight").unwrap().fill(f32::MAX));
    let run = fixture.run(&["infer", "--weights", "huge.safetensors", "images/a.png"]);
    run.fails(1, &["images/a.png: ", "not finite"]);
}

#[test]
fn wrong_usage_is_one_line_and_code_2() {
    let fixture = Fixture::new();
    for (args, parts) in [
        (&[][..], &["command"][..]),
        (&["frobnicate"], &["frobnicate"]),
        (&["infer", "--frobnicate", "x"], &["--frobnicate"]),
        (&["infer", "--arch", "resnet19", "x"], &["resnet19", "resnet18"]),
        (&["infer", "--arch", "resnet50", "--shortcut", "a", "x"], &["shortcut a", "resnet50"]),
        (&["infer", "--threads", "0", "x"], &["--threads", "0"]),
        (&["infer", "--threads", "1025", "x"], &["--threads", "1025"]),
        (&["infer", "--threads", "many", "x"], &["--threads", "many"]),
        (&["infer", "--isa", "mmx", "x"], &["--isa", "mmx", "avx2"]),
        (&["infer", "--backend", "blas", "x"], &["--backend", "blas"]),
        (&["infer", "--batch", "0", "x"], &["--batch"]),
        (&["inspect"], &["FILE|NAME"]),
        (&["inspect", "resnet19"], &["resnet19", "known are"]),
        (&["inspect", "plain20", "--shortcut", "a"], &["plain20", "shortcut"]),
        (&["bench", "--arch", "resnet18,resnet19"], &["resnet19"]),
        (&["bench", "--seconds", "1e9"], &["seconds"]),
        (&["bench", "--mode", "train", "--weights", "x"], &["--weights", "--mode infer"]),
        (&["bench", "--arch", "resnet18,resnet34", "--weights", "x"], &["--weights", "one --arch"]),
    ] {
        let run = fixture.run(args);
        run.fails(2, parts);
        assert_eq!(run.out, "", "{args:?}");
    }
    let foreign = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };
    fixture.run(&["inspect", "resnet18", "--isa", foreign]).fails(2, &["--isa", foreign]);
    let mut command = fixture.command(&["inspect", "resnet18"]);
    finish(command.env("RESNET_CPU_ISA", "mmx")).fails(2, &["RESNET_CPU_ISA", "mmx"]);
    let mut command = fixture.command(&["inspect", "resnet18", "--isa", "portable"]);
    assert_eq!(finish(command.env("RESNET_CPU_ISA", "mmx")).code, 0, "the flag wins");
}

#[test]
fn version_help_and_a_closed_pipe_are_successes() {
    let fixture = Fixture::new();
    let run = fixture.run(&["--version"]);
    assert_eq!((run.code, run.out.trim()), (0, concat!("resnet-cpu ", env!("CARGO_PKG_VERSION"))));
    let run = fixture.run(&["bench", "--help"]);
    assert!(run.code == 0 && run.out.contains("--seconds") && run.err.is_empty());

    let mut command = fixture.command(&["inspect", "resnet1202"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]));
}

const VERBS: [&str; 12] = [
    "train",
    "weights",
    "infer",
    "eval",
    "inspect",
    "convert",
    "quantize",
    "bench",
    "completions",
    "man",
    "study",
    "runs",
];

#[test]
fn every_shell_is_offered_every_verb() {
    let fixture = Fixture::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        // A machine that cannot be is none of their business.
        let mut command = fixture.command(&["completions", shell]);
        let run = finish(command.env("RESNET_CPU_ISA", "mmx"));
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{shell}");
        for word in VERBS.into_iter().chain(["label-smoothing", "threads"]) {
            assert!(run.out.contains(word), "{shell} does not know {word}");
        }
    }
    fixture.run(&["completions", "sh"]).fails(2, &["sh", "fish"]);
    fixture.run(&["completions"]).fails(2, &["SHELL"]);
}

#[test]
#[cfg(unix)]
fn the_completion_script_is_one_that_bash_reads() {
    let fixture = Fixture::new();
    fixture.write("completions", fixture.run(&["completions", "bash"]).out.as_bytes());
    let question = ". ./completions; COMP_WORDS=(resnet-cpu inf); COMP_CWORD=1; \
        _resnet__cpu resnet-cpu inf resnet-cpu; echo ${COMPREPLY[*]}";
    let mut bash = std::process::Command::new("bash");
    match bash.current_dir(fixture.path(".")).args(["--norc", "-c", question]).output() {
        Ok(output) => assert_eq!(String::from_utf8(output.stdout).unwrap(), "infer\n"),
        Err(_) => eprintln!("SKIPPED: no bash"),
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let fixture = Fixture::new();
    let run = fixture.run(&["man", "new/pages"]);
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, "", ""));
    let mut names: Vec<String> = std::fs::read_dir(fixture.path("new/pages"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut expected: Vec<String> = VERBS.map(|verb| format!("resnet-cpu-{verb}.1")).into();
    expected.push("resnet-cpu.1".to_owned());
    expected.extend(["get", "list", "where"].map(|what| format!("resnet-cpu-weights-{what}.1")));
    expected.extend(["compare", "export", "list"].map(|what| format!("resnet-cpu-runs-{what}.1")));
    expected.extend(["degradation", "shortcuts"].map(|what| format!("resnet-cpu-study-{what}.1")));
    expected.sort();
    assert_eq!(names, expected);
    for name in &names {
        let page = std::fs::read_to_string(fixture.path("new/pages").join(name)).unwrap();
        for part in [".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS", "\\-\\-threads", "\\-\\-isa"] {
            assert!(page.contains(part), "{name}: no {part}");
        }
    }
    let train = std::fs::read_to_string(fixture.path("new/pages/resnet-cpu-train.1")).unwrap();
    assert!(train.contains("label\\-smoothing") && train.contains("built\\-in images"));

    let run = fixture.run(&["man"]);
    let first = std::fs::read_to_string(fixture.path("new/pages/resnet-cpu.1")).unwrap();
    assert_eq!((run.code, &run.out), (0, &first));
    for verb in VERBS {
        assert!(first.contains(&format!("resnet\\-cpu\\-{verb}(1)")), "no {verb} in {first}");
    }
    fixture.write("file", b"");
    fixture.run(&["man", "file/pages"]).fails(1, &["file/pages: cannot create"]);
}

#[test]
fn inspect_shows_names_and_files() {
    let fixture = Fixture::new();
    let run = fixture.run(&["inspect", "resnet50", "--json"]);
    let facts = &run.json()[0];
    assert_eq!(facts["parameters"], 25_557_032);
    assert_eq!(facts["layers"].as_array().unwrap().len(), 54);
    assert!((facts["macs"].as_f64().unwrap() / 1e9 - 4.089).abs() < 1e-3);
    let run = fixture.run(&["inspect", "weights.safetensors"]);
    assert_eq!(run.code, 0);
    for part in
        ["resnet20, shortcut a", "layer3.2.conv2", "269,722", "0.041 GMAC", "F32", "assumed"]
    {
        assert!(run.out.contains(part), "{part}: {}", run.out);
    }

    // Not a network of the paper: what is in it.
    let header = br#"{"x":{"dtype":"I64","shape":[2],"data_offsets":[0,16]}}"#;
    let file = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 16]].concat();
    fixture.write("other.safetensors", &file);
    let run = fixture.run(&["inspect", "other.safetensors"]);
    assert!(run.code == 0 && run.out.starts_with("x  I64    [2]\n"), "{}{}", run.out, run.err);
    let run = fixture.run(&["inspect", "other.safetensors", "--json"]);
    assert_eq!(run.json()[0]["tensors"][0]["shape"][0], 2);
}

#[test]
fn bench_prints_the_promised_fields() {
    let args =
        ["bench", "--arch", "resnet20,plain20", "--batch", "1,2", "--seconds", "0", "--json"];
    let run = Fixture::new().run(&args);
    assert_eq!(run.code, 0, "{}", run.err);
    let rows = run.json();
    let got: Vec<_> = rows.iter().map(|row| (row["arch"].clone(), row["batch"].clone())).collect();
    let expected = [("resnet20", 1), ("resnet20", 2), ("plain20", 1), ("plain20", 2)];
    assert_eq!(got, expected.map(|(arch, batch)| (arch.into(), batch.into())));
    for row in rows {
        assert!(row["mode"] == "infer" && row["isa"].is_string() && row["threads"].is_u64());
        for key in ["median_ms", "p10_ms", "p90_ms", "images_per_second", "gflops", "peak_gflops"] {
            assert!(row[key].as_f64().unwrap() > 0.0, "{key}: {row}");
        }
    }
}

#[test]
fn bench_prints_where_the_time_of_a_step_went() {
    let fixture = Fixture::new();
    let bench =
        ["bench", "--mode", "train", "--arch", "resnet20", "--batch", "2", "--seconds", "0"];
    let run = fixture.run(&[&bench[..], &["--profile", "--json"]].concat());
    assert_eq!(run.code, 0, "{}", run.err);
    let rows = run.json();
    let percents = rows[1..].iter().map(|row| row["percent_of_step"].as_f64().unwrap());
    assert!((percents.sum::<f64>() - 100.0).abs() < 0.1, "{}", run.out);
    let conv = |part: &str| {
        let found =
            |row: &&serde_json::Value| row["layer"] == "layer2.0.conv1" && row["part"] == part;
        rows.iter().find(found).unwrap_or_else(|| panic!("{part}: {}", run.out))
    };
    for part in ["forward", "input gradient", "filter gradient"] {
        let row = conv(part);
        assert!(row["percent_of_peak"].as_f64().unwrap() > 0.0, "{row}");
        // 16 channels of 32 x 32 pixels become 32 of 16 x 16, by 3 x 3 filters.
        let floats = 2 * (16 * 32 * 32 + 32 * 16 * 16) + 3 * 3 * 16 * 32;
        assert_eq!(row["bytes"], 4 * floats, "{row}");
    }
    let table = fixture.run(&[&bench[..], &["--profile"]].concat());
    for part in ["layer2.0.conv1  forward", "all layers", "update", "% of copy"] {
        assert!(table.out.contains(part), "{part}: {}", table.out);
    }
    let run = fixture.run(&["bench", "--profile"]);
    assert!(run.code == 2 && run.err.contains("--profile is for --mode train"), "{}", run.err);
}

#[test]
fn bench_prints_the_logits_of_given_weights() {
    let fixture = Fixture::new();
    let file = "weights.safetensors";
    let run =
        fixture.run(&["bench", "--weights", file, "--batch", "2", "--seconds", "0", "--json"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let row = &run.json()[0];
    assert_eq!((row["arch"].as_str(), row["batch"].as_u64()), (Some("resnet20"), Some(2)));
    let got: Vec<f32> = serde_json::from_value(row["logits"].clone()).unwrap();

    let weights = WeightsFile::open(fixture.path(file), &Overrides::default()).unwrap();
    let network = weights.network().clone();
    let mut session = Session::new(&network, weights, Backend::Native(Isa::best()));
    let input = common::images(1, "input", 2 * 32 * 32 * 3);
    assert_eq!(got, session.run(&input, 2, 32, 32).unwrap());
}

#[test]
fn convolutions_are_computed_as_is_wanted() {
    let fixture = Fixture::new();
    let run = |choice: &[&str]| {
        let run = fixture.infer(&[choice, &["--verbose", "--json", "images/a.png"]].concat());
        assert_eq!(run.code, 0, "{}", run.err);
        let probability = run.json()[0]["predictions"][0]["probability"].as_f64().unwrap();
        (probability, run.err.matches("winograd").count())
    };
    let (auto, fastest) = run(&[]);
    let (direct, none) = run(&["--conv", "direct"]);
    let (winograd, all) = run(&["--conv", "winograd"]);
    // Of the 18 convolutions of 3x3, two have stride 2.
    assert_eq!((none, all), (0, if Isa::best().is_exact() { 16 } else { 0 }));
    assert!(fastest <= all && (auto - direct).abs() < 1e-5 && (winograd - direct).abs() < 1e-5);
    let run = fixture.run(&["bench", "--mode", "gemm", "--conv", "direct"]);
    assert!(run.code == 2 && run.err.contains("--conv is for --mode infer"), "{}", run.err);
}

#[test]
fn verbose_shows_where_the_time_went() {
    let fixture = Fixture::new();
    let run = fixture.infer(&["--verbose", "images/a.png"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let table: Vec<&str> = run.err.lines().skip_while(|line| !line.contains("GFLOP/s")).collect();
    let layer = |line: &&str| line.split_whitespace().nth(1).unwrap().to_owned();
    // The stem, 9 blocks of two convolutions and two shortcuts of padding, pool and classifier.
    let layers: Vec<String> = table.iter().skip(1).map(layer).collect();
    assert_eq!(layers.len(), 1 + 18 + 2 + 2 + "total, peak".split(',').count(), "{}", run.err);
    assert_eq!([&layers[0], &layers[22], &layers[23]], ["conv1", "fc", "total"]);
    assert!(layers.contains(&"layer2.0.shortcut".to_owned()));
    for (line, shapes, algorithm) in [
        (1, "32x32x3 -> 32x32x16 ", " strip gemm "),
        (2, "32x32x16 -> 32x32x16 ", " winograd F(4x4) "),
    ] {
        assert!(table[line].contains(shapes) && table[line].contains(algorithm), "{}", table[line]);
    }

    let end = |i: usize| table[0].find(["ms", "GFLOP/s", "% of peak"][i]).unwrap() + [2, 7, 9][i];
    let number = |line: &str, i: usize| -> Option<f64> {
        line[..end(i)].split_whitespace().next_back()?.parse().ok()
    };
    let ms: Vec<f64> = table[1..25].iter().map(|line| number(line, 0).unwrap()).collect();
    let sum: f64 = ms[..23].iter().sum();
    assert!(sum > 0.0 && (sum - ms[23]).abs() < 0.0006 * 24.0, "{ms:?}");
    // 40.8 million multiply-adds.
    let rate = number(table[24], 1).unwrap();
    assert!((rate * ms[23] / 81.6 - 1.0).abs() < 0.01, "{rate} GFLOP/s in {} ms", ms[23]);
    let (percent, peak) = (number(table[24], 2).unwrap(), table[25].split_whitespace().nth(5));
    let peak: f64 = peak.unwrap().parse().unwrap();
    assert!(
        (percent - 100.0 * rate / peak).abs() < 0.1 + percent * 0.01,
        "{percent} {rate} {peak}"
    );

    let run = fixture.infer(&["images/a.png"]);
    assert!(!run.err.contains("GFLOP/s"), "{}", run.err);
    fixture.infer(&["--verbose", "--quiet", "images/a.png"]).fails(2, &["--verbose"]);
}
