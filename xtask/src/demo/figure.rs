//! A picture of spectrograms, one above the other, on common axes.

use super::spectrogram::Spectrogram;
use crate::font;
use crate::render::audio_file::Audio;
use anyhow::{Result, anyhow};
use plotters::backend::BitMapBackend;
use plotters::coord::ranged1d::KeyPointHint;
use plotters::element::BitMapElement;
use plotters::prelude::*;
use std::path::Path;

/// Size of the picture, pixels.
const SIZE: (u32, u32) = (1500, 1380);

/// Range of the vertical axes, Hz.
const BAND_HZ: (f64, f64) = (50.0, 16_000.0);

/// Frequencies with a label, Hz.
const LABELLED_HZ: [f64; 8] = [100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 16_000.0];

/// Levels more than this below the loudest are black, dB.
const RANGE_DB: f32 = 80.0;

/// One spectrogram.
pub struct Panel<'a> {
    /// Text above it.
    pub title: String,
    /// What it shows.
    pub audio: &'a Audio,
}

/// Draws the panels into a PNG.
pub fn draw(path: &Path, panels: &[Panel]) -> Result<()> {
    font::register()?;
    // Plotters reports errors of its own type per backend; their text is all that is of use here.
    draw_all(path, panels).map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

fn draw_all(path: &Path, panels: &[Panel]) -> Result<(), Box<dyn std::error::Error>> {
    let root = BitMapBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (pictures, key) = root.split_horizontally(SIZE.0 - 110);
    let areas = pictures.split_evenly((panels.len(), 1));
    let mut top_db = None;
    for (panel_idx, (panel, area)) in panels.iter().zip(&areas).enumerate() {
        let is_last = panel_idx + 1 == panels.len();
        draw_panel(area, panel, &mut top_db, is_last)?;
    }
    draw_key(&key, top_db.unwrap_or(0.0))?;
    root.present()?;
    Ok(())
}

type Area<'a> = DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>;

/// `top_db` is the level of the brightest colour: the loudest of the first panel.
fn draw_panel(
    area: &Area,
    panel: &Panel,
    top_db: &mut Option<f32>,
    is_last: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let seconds = panel.audio.num_samples() as f64 / f64::from(panel.audio.rate_hz);
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, (font::NAME, 26))
        .margin_left(16)
        .margin_right(16)
        .margin_top(6)
        .x_label_area_size(if is_last { 58 } else { 34 })
        .y_label_area_size(86)
        .build_cartesian_2d(0.0..seconds, Frequency)?;
    let (width, height) = chart.plotting_area().dim_in_pixel();
    let spectrogram = Spectrogram::of(panel.audio, width as usize, height as usize, BAND_HZ)?;
    let top_db = *top_db.get_or_insert(spectrogram.peak_db());
    let mut pixels = Vec::with_capacity(3 * (width * height) as usize);
    for row_idx in (0..height as usize).rev() {
        for column in &spectrogram.levels_db {
            pixels.extend(colour((column[row_idx] - top_db) / RANGE_DB + 1.0));
        }
    }
    let image = BitMapElement::with_owned_buffer((0.0, BAND_HZ.1), (width, height), pixels);
    chart.draw_series([image.ok_or("the buffer does not fit the picture")?])?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_mesh()
        .label_style((font::NAME, 20))
        .axis_desc_style((font::NAME, 22))
        .x_labels(13)
        .x_label_formatter(&|time_s| format!("{time_s:.0}"))
        .y_desc("frequency (kHz)");
    if is_last {
        mesh.x_desc("time (s)");
    }
    mesh.draw()?;
    Ok(())
}

/// The colours and their levels.
fn draw_key(area: &Area, top_db: f32) -> Result<(), Box<dyn std::error::Error>> {
    let (top, bottom) = (60_i32, SIZE.1.cast_signed() - 80);
    for y in top..=bottom {
        let part = (bottom - y) as f32 / (bottom - top) as f32;
        let [red, green, blue] = colour(part);
        area.draw(&Rectangle::new([(6, y), (28, y + 1)], RGBColor(red, green, blue).filled()))?;
    }
    for below_db in (0..=RANGE_DB as i32).step_by(10) {
        let y = top + (bottom - top) * below_db / RANGE_DB as i32;
        area.draw(&PathElement::new([(28, y), (34, y)], BLACK))?;
        let text = format!("{:.0}", top_db - below_db as f32);
        area.draw(&Text::new(text, (38, y - 10), (font::NAME, 20)))?;
    }
    area.draw(&Text::new("dBFS", (6, top - 34), (font::NAME, 20)))?;
    Ok(())
}

/// A colour for 0 (black) to 1 (light yellow), of even steps in lightness.
fn colour(part: f32) -> [u8; 3] {
    const STOPS: [[f32; 3]; 6] = [
        [0.0, 0.0, 4.0],
        [59.0, 15.0, 112.0],
        [140.0, 41.0, 129.0],
        [222.0, 73.0, 104.0],
        [254.0, 159.0, 109.0],
        [252.0, 253.0, 191.0],
    ];
    let position = part.clamp(0.0, 1.0) * (STOPS.len() - 1) as f32;
    let below = (position as usize).min(STOPS.len() - 2);
    let step = position - below as f32;
    std::array::from_fn(|i| (STOPS[below][i] * (1.0 - step) + STOPS[below + 1][i] * step).round() as u8)
}

/// The vertical axis: logarithmic, with labels at round frequencies.
struct Frequency;

impl Ranged for Frequency {
    type FormatOption = plotters::coord::ranged1d::NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, frequency_hz: &f64, limit: (i32, i32)) -> i32 {
        let part = (frequency_hz / BAND_HZ.0).ln() / (BAND_HZ.1 / BAND_HZ.0).ln();
        limit.0 + (f64::from(limit.1 - limit.0) * part).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        LABELLED_HZ.to_vec()
    }

    fn range(&self) -> std::ops::Range<f64> {
        BAND_HZ.0..BAND_HZ.1
    }
}

impl plotters::coord::ranged1d::ValueFormatter<f64> for Frequency {
    fn format(frequency_hz: &f64) -> String {
        format!("{}", frequency_hz / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_colours_run_from_black_to_light_and_hold_beyond() {
        assert_eq!(colour(-1.0), [0, 0, 4]);
        assert_eq!(colour(2.0), [252, 253, 191]);
        let lightness = |part: f32| colour(part).map(f32::from).iter().sum::<f32>();
        assert!((0..100).all(|i| lightness(i as f32 / 100.0) <= lightness((i + 1) as f32 / 100.0)));
    }

    #[test]
    fn octaves_are_equally_far_apart() {
        let at = |hz: f64| Frequency.map(&hz, (1000, 0));
        assert_eq!(at(50.0), 1000);
        assert_eq!(at(16_000.0), 0);
        assert!((at(100.0) - at(200.0) - (at(4_000.0) - at(8_000.0))).abs() <= 1);
    }

    #[test]
    fn a_picture_is_drawn_without_any_font_of_the_system() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.png");
        let audio = Audio { channels: vec![vec![0.5; 48_000]], rate_hz: 48_000 };
        draw(&path, &[Panel { title: "one".into(), audio: &audio }]).expect("a picture");
        assert!(path.metadata().expect("the file").len() > 1000);
    }
}
