//! Convolutions with weights in oneDNN's order give what they gave before. The library's own test binary would not find libtorch, so its file
//! is read here, too.

#[path = "../../src/convolutions.rs"]
mod tested;

use std::path::{Path, PathBuf};

use tch::{CModule, Device, IValue, Kind, Tensor};

use crate::common::{Model, separators, shipped};

/// Of so many frames a call goes through convolutions; of fewer through products (`nets/band_convolution.py`).
const FEWEST_FRAMES: u64 = 5;

/// Those of the fixture whose weights lie features last, one of them twice.
const NUM_OF_FIXTURE: usize = 5;

/// `underscore_training.fixtures.Convolutions`.
fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models/convolutions.pt")
}

fn load(path: &Path) -> CModule {
    let mut module = CModule::load_on_device(path, Device::Cpu).expect("a module");
    module.set_eval();
    module
}

/// The fixture with what can be packed packed.
fn packed() -> CModule {
    let mut module = load(&fixture());
    let num_packed = tested::pack(&mut module);
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        assert_eq!(num_packed, NUM_OF_FIXTURE, "of six, one of which has its features first");
    }
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
    assert_eq!(tested::pack(&mut packed()), 0, "all of them are packed already");
    let mut num_models = 0;
    for name in separators() {
        let model = Model::load(&shipped(&name)).expect("the shipped model");
        let num_packed = tested::pack(&mut load(&shipped(&name)));
        println!("{name}: {num_packed} convolutions packed");
        if model.metadata()["frames_per_call"].as_u64().expect("a number") >= FEWEST_FRAMES {
            num_models += 1;
            assert!(num_packed > 0, "{name}: its weights do not lie features last");
        }
    }
    assert!(num_models > 0, "no shipped model goes through convolutions");
}

#[test]
fn packed_ones_give_the_same_in_the_same_order() {
    let _no_grad = tch::no_grad_guard();
    let (plain, packed) = (load(&fixture()), packed());
    for (batch, num_frames) in [(1, 8), (1, 4), (2, 8), (3, 5), (1, 64)] {
        let pairs = [&plain, &packed].map(|module| outputs(module, batch, num_frames));
        assert_eq!(pairs[0].len(), if num_frames > 4 { 5 } else { 4 });
        for (idx, (before, after)) in pairs[0].iter().zip(&pairs[1]).enumerate() {
            let at = format!("output {idx} of {batch} x {num_frames} frames");
            assert_eq!((before.size(), before.stride()), (after.size(), after.stride()), "{at}");
            let difference = (before - after).abs().max().double_value(&[]);
            assert!(difference <= 1e-6, "{at}: differs by {difference}");
        }
    }
}

#[test]
fn what_is_no_number_stays_none_behind_a_packed_one() {
    let _no_grad = tch::no_grad_guard();
    let input = Tensor::full([1, 8, 20, 3], f64::NAN, (Kind::Float, Device::Cpu)).permute([0, 3, 1, 2]);
    let output = packed().forward_is(&[IValue::Tensor(input)]).expect("outputs");
    let IValue::TensorList(outputs) = output else { panic!("expected a list of tensors") };
    for (idx, output) in outputs.iter().enumerate() {
        assert!(output.isnan().any().int64_value(&[]) == 1, "output {idx} hides that a stream went wrong");
    }
}
