//! Convolutions with weights in oneDNN's order give what they gave before. The library's own test binary would not find libtorch, so its file
//! is read here, too.

#[path = "../../src/convolutions.rs"]
mod tested;

use std::path::{Path, PathBuf};

use tch::{CModule, Device, IValue, Kind, Tensor};

use crate::common::{Model, separators, shipped};

/// Of so many frames a call goes through convolutions; of fewer through products (`nets/band_convolution.py`).
const FEWEST_FRAMES: u64 = 5;

/// `underscore_training.fixtures.Convolutions`.
fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models/convolutions.pt")
}

fn load(path: &Path) -> CModule {
    let mut module = CModule::load_on_device(path, Device::Cpu).expect("a module");
    module.set_eval();
    module
}

/// What the fixture makes of `[batch, 3, num_frames, 20]`, features last.
fn outputs(module: &CModule, batch: i64, num_frames: i64) -> Vec<Tensor> {
    let values = Tensor::arange(batch * num_frames * 20 * 3, (Kind::Float, Device::Cpu)).sin();
    let input = values.reshape([batch, num_frames, 20, 3]).permute([0, 3, 1, 2]);
    let output = module.forward_is(&[IValue::Tensor(input)]).expect("outputs");
    let IValue::TensorList(outputs) = output else { panic!("expected a list of tensors") };
    outputs
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn those_with_features_last_are_packed_and_no_others() {
    assert_eq!(tested::pack(&mut load(&fixture())), 3, "of four, one of which has its features first");
    for name in separators() {
        let model = Model::load(&shipped(&name)).expect("the shipped model");
        let num_packed = tested::pack(&mut load(&shipped(&name)));
        println!("{name}: {num_packed} convolutions packed");
        if model.metadata()["frames_per_call"].as_u64().expect("a number") >= FEWEST_FRAMES {
            assert!(num_packed > 0, "{name}: its weights do not lie features last");
        }
    }
}

#[test]
fn packed_ones_give_the_same_in_the_same_order() {
    let _no_grad = tch::no_grad_guard();
    let plain = load(&fixture());
    let mut packed = load(&fixture());
    tested::pack(&mut packed);
    for (batch, num_frames) in [(1, 8), (1, 4), (2, 8), (3, 5), (1, 64)] {
        let pairs = [&plain, &packed].map(|module| outputs(module, batch, num_frames));
        assert_eq!(pairs[0].len(), if num_frames > 4 { 5 } else { 4 });
        for (idx, (before, after)) in pairs[0].iter().zip(&pairs[1]).enumerate() {
            let at = format!("output {idx} of {batch} x {num_frames} frames");
            assert_eq!((before.size(), before.stride()), (after.size(), after.stride()), "{at}");
            let difference = (before - after).abs().max().double_value(&[]);
            assert!(difference <= 1e-6, "{at}: differs by {difference}");
        }
        let [cut, other] = [0, 2].map(|idx| pairs[1][idx].min().double_value(&[]));
        assert!(cut == 0.0 && other < 0.0, "what is cut off below zero, and what is not: {cut} and {other}");
    }
}
