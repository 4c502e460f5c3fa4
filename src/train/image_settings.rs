//! The part of the table of settings that says what is done to training images.

use super::images::{ColourKind, CropKind, LEAST_AREA, SideEpochs};
use super::setting::{Heading, Setting};
use super::values::{named, number, parse, put, switch};

pub(super) const CROP: Setting =
    Setting::shown("crop", "images", |c| Some(c.crop().to_string())).flag(
        Heading::Images,
        "KIND",
        "Which square of a training image is used: center, pad (random, after 4 zeros on each side), \
         resize (random, shorter side 256 for 224), scale (random, shorter side random in 256..480) or \
         area (of random area and shape) [default: as --augment says]",
        |c, text| {
            let kind = named(text, &CropKind::ALL)?;
            c.images.crop = None;
            c.images.crop = (kind != c.crop()).then_some(kind);
            if kind != CropKind::Area {
                c.images.area = None;
            }
            Ok(())
        },
    );

pub(super) const AREA: Setting = Setting::shown("area", "images", |c| {
    (c.crop() == CropKind::Area).then(|| c.images.area.unwrap_or(LEAST_AREA).to_string())
})
.flag(
    Heading::Images,
    "X",
    "Crop area: the least share of the image's area that is used [default: 0.08]",
    |c, text| match c.crop() {
        CropKind::Area => {
            let area = number(text)?;
            c.images.area = (area != LEAST_AREA).then_some(area);
            Ok(())
        }
        other => Err(format!("expected --crop area, found --crop {other}")),
    },
)
.valid("above 0 and at most 1", |c| c.images.area.is_none_or(|area| area > 0.0 && area <= 1.0));

pub(super) const FLIP: Setting = Setting::shown("flip", "images", |c| Some(c.flip().to_string()))
    .flag(
        Heading::Images,
        "BOOL",
        "Mirror training images half of the time; --flip=false never [default: as --augment says]",
        |c, text| {
            let flip = switch(text)?;
            c.images.flip = None;
            c.images.flip = (flip != c.flip()).then_some(flip);
            Ok(())
        },
    );

pub(super) const COLOUR: Setting =
    Setting::shown("colour", "images", |c| Some(c.colour().to_string())).flag(
        Heading::Images,
        "KIND",
        "Shift the colours of training images along principal components: none, imagenet (ImageNet's) or \
         own (the training set's) [default: as --augment says]",
        |c, text| {
            let kind = named(text, &ColourKind::ALL)?;
            c.images.colour = None;
            c.images.colour = (kind != c.colour()).then_some(kind);
            Ok(())
        },
    );

pub(super) const JITTER: Setting = Setting::shown("jitter", "images", |c| {
    c.images.jitter.map(|jitter| jitter.map(|x| x.to_string()).join(","))
})
.flag(
    Heading::Images,
    "B,C,S,H",
    "Change brightness, contrast, saturation and hue of training images at random, by at most these; \
     0 leaves one out [default: 0,0,0,0]",
    |c, text| {
        let parts: Result<Vec<f64>, String> =
            text.split(',').map(|part| number(part.trim())).collect();
        let jitter: [f64; 4] = parts?
            .try_into()
            .map_err(|_| format!("expected four numbers with commas between, found {text}"))?;
        c.images.jitter = (jitter != [0.0; 4]).then_some(jitter);
        Ok(())
    },
)
.valid("numbers of 0 or more, the last one at most 0.5", |c| {
    c.images.jitter.is_none_or(|jitter| {
        jitter.iter().all(|x| x.is_finite() && *x >= 0.0) && jitter[3] <= 0.5
    })
});

pub(super) const ERASE: Setting =
    Setting::shown("erase", "images", |c| c.images.erase.map(|x| x.to_string()))
        .flag(
            Heading::Images,
            "X",
            "Erase a random rectangle of a training image with this probability [default: 0]",
            |c, text| put(&mut c.images.erase, number(text).map(above_zero)),
        )
        .valid("0 to 1", |c| c.images.erase.is_none_or(|x| (0.0..=1.0).contains(&x)));

pub(super) const MIXUP: Setting =
    Setting::shown("mixup", "images", |c| c.images.mixup.map(|x| x.to_string()))
        .flag(
            Heading::Images,
            "X",
            "Mixup: blend each training image and its target with another one's, by a share from \
             Beta(X, X); usual is 0.2 [default: 0]",
            |c, text| put(&mut c.images.mixup, number(text).map(above_zero)),
        )
        .valid("0 to 1000", |c| c.images.mixup.is_none_or(beta));

pub(super) const CUTMIX: Setting = Setting::shown("cutmix", "images", |c| {
    c.images.cutmix.map(|x| x.to_string())
})
.flag(
    Heading::Images,
    "X",
    "CutMix: put a rectangle of another training image into each, of a share from Beta(X, X); \
             usual is 1; with --mixup, each is used half of the time [default: 0]",
    |c, text| put(&mut c.images.cutmix, number(text).map(above_zero)),
)
.valid("0 to 1000", |c| c.images.cutmix.is_none_or(beta));

pub(super) const SIDES: Setting = Setting::shown("sides", "images", |c| {
    let sides: Vec<String> = c.images.sides.iter().map(SideEpochs::to_string).collect();
    (!sides.is_empty()).then(|| sides.join(","))
})
.flag(
    Heading::Images,
    "NxE,..",
    "Train on N pixels a side for E epochs, then on the next, the last to the end, for example \
     128x6,160x5,192x5; validation keeps the network's side; none for one side [default: as the recipe says]",
    |c, text| {
        let sides = text.split(',').map(|part| side_epochs(part.trim()));
        let sides = if text.eq_ignore_ascii_case("none") { Ok(vec![]) } else { sides.collect() };
        put(&mut c.images.sides, sides)
    },
)
.valid("sides of 1 to 16384 px, each for 1 epoch or more", |c| {
    let fine = |&SideEpochs(side, epochs): &_| (1..=16_384).contains(&side) && epochs > 0;
    c.images.sides.iter().all(fine)
});

/// A number that is 0 where something is off.
fn above_zero(x: f64) -> Option<f64> {
    (x != 0.0).then_some(x)
}

/// Whether it can be the parameter of a Beta distribution. Numbers beyond would all be the same half.
fn beta(x: f64) -> bool {
    x > 0.0 && x <= 1000.0
}

fn side_epochs(text: &str) -> Result<SideEpochs, String> {
    let expected = || format!("expected a side and epochs such as 128x6, found {text}");
    let (side, epochs) = text.split_once('x').ok_or_else(expected)?;
    let whole = |text| parse(text, "a whole number").map_err(|_| expected());
    Ok(SideEpochs(whole(side)? as usize, whole(epochs)?))
}
