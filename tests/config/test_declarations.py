"""Declarations: what is refused, what a component is when it is called, what a builder refuses of its result."""

import jax.numpy as jnp
import pytest

from buresgan_jax import builders, config, declarations, latents, losses
from buresgan_jax.config import catalog
from buresgan_jax.declarations import Option
from buresgan_jax.errors import UserError


def test_a_component_builds_with_its_declared_defaults_and_keeps_its_docstring():
    @declarations.term("ball", "keeps samples inside a ball", Option("radius", 3.0, "radius", least=0))
    def ball(step, key, *, radius):
        """A ball."""
        return step * radius + key

    assert ball()(2, 1) == 7
    assert ball(radius=1)(2, 1) == 3
    assert ball.__doc__ == "A ball."
    assert [option.name for option in ball.options][:2] == ["radius", "weight"]


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: declarations.loss("a b", "x"), "must have a name of letters"),
        (lambda: declarations.loss("a", "x", Option("name", 1, "y")), "cannot be called 'name'"),
        (lambda: declarations.latent("a", "x", Option("dim", 1, "y")), "cannot be called 'dim'"),
        (
            lambda: declarations.loss("a", "x", Option("m", 1.0, "y", is_traced=True)),
            "'m' of the loss 'a' cannot be tr",
        ),
        (lambda: declarations.term("a", "x", Option("weight", 1.0, "y")), "declares weight twice"),
        (lambda: declarations.term("a", "x", player="critic"), "must be generator or discriminator, got 'critic'"),
        (lambda: declarations.loss("a", "x", Option("m", 1.0, "y"))(lambda: None), "declares m, which its function"),
    ],
)
def test_wrong_declarations_are_refused(declare, message):
    with pytest.raises(UserError, match=message):
        declare()


def _no_scalar():
    return losses.AdversarialLoss(lambda real, fake: fake, lambda real, fake: fake)


def _two_columns(dim):
    return latents.Latent(dim, lambda arrays, key, n: jnp.zeros((n, 2)))


@pytest.mark.parametrize(
    ("kind", "built", "message"),
    [
        ("loss", lambda: (1, 2), "returned a tuple, no AdversarialLoss. Return losses.AdversarialLoss"),
        (
            "loss",
            lambda: losses.AdversarialLoss(lambda r, f: f, lambda r, f: f),
            r"has the shape \(2, 1\). Return a scalar",
        ),
        ("latent", lambda dim: None, r"returned a NoneType, no Latent. Return latents.Latent\(dim, sample\)"),
        (
            "latent",
            lambda dim: latents.Latent(dim, lambda a, k, n: jnp.zeros((n, 2))),
            r"shape \(2, 2\), config.latent.dim",
        ),
        (
            "latent",
            lambda dim: latents.normal(dim)._replace(centers=lambda arrays: jnp.zeros((5, 2))),
            r"centers of .* the shape \(5, 2\). Return \[n, 4\]",
        ),
        ("algorithm", lambda game: game, "returned a Game, no Algorithm. Return algorithms.make_algorithm"),
    ],
)
def test_what_a_component_builds_is_checked(kind, built, message, monkeypatch):
    component = getattr(declarations, kind)("mine", "wrong")(built)
    monkeypatch.setitem(catalog.BUILT_IN[kind], "mine", component)
    made = config.default("gan,smoke")
    made.data.name, made[kind].name = "ring", "mine"
    with pytest.raises(UserError, match=message):
        builders.algorithm(config.finish(made))
