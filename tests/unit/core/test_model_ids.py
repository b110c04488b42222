import pytest

from raypipe.core.model_ids import base_model_id


@pytest.mark.parametrize(
    ("model_id", "base"),
    [
        ("amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        ("us.amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        ("us-gov.amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        ("mx.amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
            "amazon.nova-lite-v1:0",
        ),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/a1b2c3", "a1b2c3"),
        ("gpt-5-mini", "gpt-5-mini"),
    ],
)
def test_inference_profiles_have_the_id_of_their_model(model_id: str, base: str) -> None:
    assert base_model_id(model_id) == base
