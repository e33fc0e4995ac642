//! What came of it, as pictures: SVG files beside the report.

use std::path::Path;

use plotters::prelude::*;

use crate::contender::{Answer, Failure};
use crate::options::Workload;
use crate::report::Comparison;
use crate::rounds::{Row, Spread};

const SIZE: (u32, u32) = (900, 460);

/// Distinct in print, too: one for each contender, in the order of the tables.
const COLOURS: [RGBColor; 11] = [
    RGBColor(90, 90, 90),
    RGBColor(160, 160, 160),
    RGBColor(204, 0, 0),
    RGBColor(31, 119, 180),
    RGBColor(148, 103, 189),
    RGBColor(44, 160, 44),
    RGBColor(255, 127, 14),
    RGBColor(23, 190, 207),
    RGBColor(140, 86, 75),
    RGBColor(188, 189, 34),
    RGBColor(227, 119, 194),
];

/// Draws what there is, and says in which files.
pub(crate) fn all(comparisons: &[Comparison], folder: &Path) -> Answer<Vec<String>> {
    let mut files = Vec::new();
    for (workload, title, file) in [
        (Workload::W1, "W1: accounts created per second, by callers", "w1-throughput.svg"),
        (Workload::W2, "W2: load, decide and append per second, by callers", "w2-throughput.svg"),
    ] {
        let of_it: Vec<_> = comparisons.iter().filter(|one| one.workload == workload).collect();
        if !of_it.is_empty() {
            throughput(&of_it, title, &folder.join(file)).map_err(in_words)?;
            files.push(file.to_owned());
        }
    }
    let latencies = comparisons.iter().filter(|one| matches!(one.workload, Workload::W1 | Workload::W5));
    for comparison in latencies {
        let file = match comparison.at {
            Some(callers) => format!("w1-latency-{callers}.svg"),
            None if files.iter().any(|file| file == W5) => "w5-latency-from-afar.svg".to_owned(),
            None => W5.to_owned(),
        };
        if comparison.rows.iter().any(|row| !row.latencies_ms.is_empty()) {
            percentiles(comparison, &folder.join(&file)).map_err(in_words)?;
            files.push(file);
        }
    }
    Ok(files)
}

/// To a handler in the process that appends.
const W5: &str = "w5-latency.svg";

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// The errors of the drawing library cannot be sent to another thread, so only their words leave this file.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` gives it")]
fn in_words(error: Box<dyn std::error::Error>) -> Failure {
    error.to_string().into()
}

/// A line for each contender: how much more it does when more ask at once.
fn throughput(comparisons: &[&Comparison], title: &str, path: &Path) -> Drawn {
    let lines = lines(comparisons);
    let points = || lines.iter().flat_map(|(_, points)| points.iter().copied());
    let most = points().map(|(_, value)| value).fold(1.0, f64::max);
    let least = points().map(|(_, value)| value).fold(most, f64::min);
    let callers = comparisons.iter().filter_map(|one| one.at).max().unwrap_or(1);
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .margin_right(170)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(
            (0.9..f64::from(callers) * 1.1).log_scale(),
            (least * 0.7..most * 1.4).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("callers")
        .y_desc("per second")
        .x_label_formatter(&|callers| format!("{callers:.0}"))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .draw()?;
    for (name, points) in &lines {
        let colour = colour(name);
        chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
    }
    // The library's own legend cannot stand beside the lines, where it hides none of them.
    let left = i32::try_from(SIZE.0)? - 160;
    for (place, (name, _)) in (0..).zip(&lines) {
        let middle = 50 + 20 * place;
        area.draw(&PathElement::new([(left, middle), (left + 20, middle)], colour(name).stroke_width(3)))?;
        area.draw(&Text::new(*name, (left + 28, middle - 6), ("sans-serif", 14)))?;
    }
    area.present()?;
    Ok(())
}

type Line = (&'static str, Vec<(f64, f64)>);

fn lines(comparisons: &[&Comparison]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for comparison in comparisons {
        for row in &comparison.rows {
            let (Some(at), Some(value)) = (comparison.at, Spread::of(row.values.iter().copied().flatten()))
            else {
                continue;
            };
            let point = (f64::from(at), value.median);
            match lines.iter_mut().find(|(name, _)| *name == row.name) {
                Some((_, points)) => points.push(point),
                None => lines.push((row.name, vec![point])),
            }
        }
    }
    lines
}

/// A line from the middle to the worst hundredth for each contender.
fn percentiles(comparison: &Comparison, path: &Path) -> Drawn {
    let told = |row: &Row| Some((row.name, row.percentile_ms(50)?, row.percentile_ms(99)?));
    // Nothing is below a microsecond, and a logarithm has no nothing.
    let told: Vec<_> = comparison
        .rows
        .iter()
        .filter_map(told)
        .map(|(name, p50, p99)| (name, p50.max(0.001), p99.max(0.001)))
        .collect();
    let most = told.iter().map(|(.., p99)| *p99).fold(0.001, f64::max);
    let least = told.iter().map(|(_, p50, _)| *p50).fold(most, f64::min);
    let rows = i32::try_from(told.len())?;
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("{}: p50 (dot) to p99 (triangle)", comparison.title), ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(150)
        .build_cartesian_2d((least * 0.7..most * 1.4).log_scale(), (0..rows - 1).into_segmented())?;
    let name = |place: &SegmentValue<i32>| match place {
        SegmentValue::CenterOf(place) => {
            let from_above = usize::try_from(rows - 1 - place).ok();
            from_above
                .and_then(|place| told.get(place))
                .map_or_else(String::new, |(name, ..)| (*name).to_owned())
        }
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .x_desc("milliseconds")
        .x_label_formatter(&|milliseconds| format!("{milliseconds}"))
        .y_label_formatter(&name)
        .y_labels(told.len())
        .disable_y_mesh()
        .draw()?;
    for (from_above, (name, p50, p99)) in told.iter().enumerate() {
        let place = SegmentValue::CenterOf(rows - 1 - i32::try_from(from_above)?);
        let colour = colour(name);
        chart.draw_series([PathElement::new(
            [(*p50, place.clone()), (*p99, place.clone())],
            colour.stroke_width(3),
        )])?;
        chart.draw_series([Circle::new((*p50, place.clone()), 5, colour.filled())])?;
        chart.draw_series([TriangleMarker::new((*p99, place), 6, colour.filled())])?;
    }
    area.present()?;
    Ok(())
}

fn colour(name: &str) -> RGBColor {
    let place = crate::roster::ALL.iter().position(|entry| entry.name == name);
    COLOURS[place.unwrap_or(0) % COLOURS.len()]
}
