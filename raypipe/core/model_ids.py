"""Normalize model ids, so that inference profiles of one model count as that model."""

from __future__ import annotations

import re

_REGION_PREFIX = re.compile(r"^(us-gov|us|eu|apac|global|jp|au|ca|sa|me|af|uk|in|il|mx|kr)\.")


def base_model_id(model_id: str) -> str:
    """Return a Bedrock model id without region prefix and without the ARN around it.

    `us.amazon.nova-lite-v1:0` and `arn:aws:bedrock:...:inference-profile/us.amazon.nova-lite-v1:0`
    both become `amazon.nova-lite-v1:0`: the profiles differ only in the regions they run in. The
    id of an application inference profile is returned as it is; it does not name the model.

    Args:
        model_id: Model id, inference profile id or ARN.
    """
    return _REGION_PREFIX.sub("", profile_id(model_id))


def profile_id(model_id: str) -> str:
    """Return a Bedrock model id or inference profile id without the ARN around it.

    Args:
        model_id: Model id, inference profile id or ARN.
    """
    return model_id.rpartition("/")[2] if model_id.startswith("arn:") else model_id
