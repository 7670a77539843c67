//! A picture of how the cost grows.

use super::live::Live;
use super::{Hosted, Row};
use crate::font;
use anyhow::{Result, anyhow};
use plotters::backend::BitMapBackend;
use plotters::prelude::*;
use std::path::Path;

/// Size of one model's row of charts, pixels.
const SIZE: (u32, u32) = (1500, 520);

/// What is drawn of a play, percent: name, colour, value.
type Curve = (&'static str, RGBColor, fn(&Live) -> f64);
const CURVES: [Curve; 3] = [
    ("deadline left over by the slowest call", RGBColor(31, 119, 180), |live| live.headroom_percent.max(0.0)),
    ("late frames", RGBColor(214, 39, 40), |live| 100.0 * live.num_late_frames as f64 / live.num_frames.max(1) as f64),
    ("audio thread's part of a block, p99.9", RGBColor(255, 127, 14), |live| live.audio_thread_percent_p999),
];

/// Draws every model's growth into a PNG.
pub fn draw(path: &Path, rows: &[Row]) -> Result<()> {
    font::register()?;
    // Plotters reports errors of its own type per backend; their text is all that is of use here.
    draw_all(path, rows).map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

fn draw_all(path: &Path, rows: &[Row]) -> Result<(), Box<dyn std::error::Error>> {
    let played: Vec<(&Row, &Hosted)> =
        rows.iter().map(|row| (row, &row.hosted)).filter(|(_, hosted)| !hosted.growth.is_empty()).collect();
    let root = BitMapBackend::new(path, (SIZE.0, SIZE.1 * played.len().max(1) as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    for ((row, hosted), area) in played.iter().zip(root.split_evenly((played.len().max(1), 1))) {
        let (left, right) = area.split_horizontally(SIZE.0 / 2);
        let title = format!("{} on {}: instances at 48 kHz / 512", row.model, row.device);
        let undisturbed = |live: &&Live| live.load.num_busy_threads == 0;
        let by_instances: Vec<&Live> =
            hosted.growth.iter().filter(undisturbed).filter(|live| live.load.host_rate_hz == super::RATE_HZ).collect();
        chart(&left, &title, &by_instances, "instances", |live| live.load.num_instances as f64)?;
        let mut by_rate: Vec<&Live> =
            hosted.growth.iter().filter(undisturbed).filter(|live| live.load.num_instances == 1).collect();
        by_rate.sort_by_key(|live| live.load.host_rate_hz);
        let title = format!("{} on {}: one instance, blocks of 512", row.model, row.device);
        chart(&right, &title, &by_rate, "host rate (kHz)", |live| f64::from(live.load.host_rate_hz) / 1e3)?;
    }
    root.present()?;
    Ok(())
}

type Area<'a> = DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>;

/// One chart of all curves over `x`, which is shown by powers of two.
fn chart(
    area: &Area,
    title: &str,
    lives: &[&Live],
    x_name: &str,
    x: fn(&Live) -> f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let (Some(first), Some(last)) = (lives.first(), lives.last()) else { return Ok(()) };
    // 44.1 and 48 kHz lie side by side: the second goes without a label.
    let mut labelled: Vec<f64> = lives.iter().map(|live| x(live)).collect();
    labelled.dedup_by(|next, kept| *next < 1.2 * *kept);
    let range = (0.93 * x(first)..1.07 * x(last)).log_scale();
    let mut chart = ChartBuilder::on(area)
        .caption(title, (font::NAME, 26))
        .margin(14)
        .x_label_area_size(58)
        .y_label_area_size(74)
        .build_cartesian_2d(range.with_key_points(labelled), 0.0..100.0)?;
    chart
        .configure_mesh()
        .label_style((font::NAME, 20))
        .axis_desc_style((font::NAME, 22))
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|x| format!("{x:.4}").trim_end_matches('0').trim_end_matches('.').to_owned())
        .x_desc(x_name)
        .y_desc("percent")
        .draw()?;
    for (name, colour, value) in CURVES {
        let points: Vec<(f64, f64)> = lives.iter().map(|live| (x(live), value(live))).collect();
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(3)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], colour.stroke_width(3)));
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 4, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::MiddleLeft)
        .label_font((font::NAME, 19))
        .background_style(WHITE.mix(0.8))
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::live::Load;

    #[test]
    fn every_model_has_its_charts() {
        let live = |load: Load| Live {
            load,
            device: "cpu".into(),
            latency_ms: 278.0,
            num_frames: 1000,
            num_late_frames: 20 * load.num_instances as u64,
            rtf: Some(0.05),
            step_ms_mean: 4.0,
            deadline_percent_p99: None,
            headroom_percent: 80.0 - 6.0 * load.num_instances as f64,
            audio_thread_percent_p999: 1.0 + f64::from(load.host_rate_hz) / 5e4,
            stolen_percent: None,
        };
        let row = Row {
            model: "music-0".into(),
            device: "cpu".into(),
            hosted: Hosted { growth: crate::bench::loads().map(live).collect(), ..Hosted::default() },
            ..Row::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("growth.png");
        draw(&path, &[row]).unwrap();
        let png = std::fs::read(&path).unwrap();
        assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000, "{} bytes", png.len());
    }
}
