import subprocess
import sys
from pathlib import Path

import pytest
from hydra.utils import get_class

from raypipe.config.moved_targets import MOVED_TARGETS

ROOT = Path(__file__).parents[3]

OLD_TARGETS = (
    "raypipe.checkpoint.Checkpoint",
    "raypipe.embedders.bedrock_cohere.CohereEmbedding",
    "raypipe.embedders.bedrock_nova.NovaEmbedding",
    "raypipe.embedders.bedrock_titan.TitanEmbedding",
    "raypipe.embedders.hash.HashEmbedder",
    "raypipe.embedders.model.ModelEmbedder",
    "raypipe.embedders.openai.OpenAIEmbedding",
    "raypipe.embedders.sentence_transformers.SentenceTransformersEmbedder",
    "raypipe.embedders.wordllama.WordLlamaEmbedder",
    "raypipe.models.bedrock.BedrockChat",
    "raypipe.models.openai.OpenAIChat",
    "raypipe.opensearch.aws.AwsConnection",
    "raypipe.opensearch.client.Connection",
    "raypipe.opensearch.index.OpenSearchIndex",
    "raypipe.prices.Prices",
    "raypipe.storage.local.LocalBookStore",
    "raypipe.storage.s3.S3BookStore",
    "raypipe.summarizers.extractive.ExtractiveSummarizer",
    "raypipe.summarizers.model.ModelSummarizer",
    "raypipe.summarizers.passthrough.LeadSummarizer",
    "raypipe.summarizers.prompts.Prompts",
    "raypipe.text.TextCleaner",
)
"""Every `_target_` in conf/ of raypipe 0.1.0 at commit 3c73c8f."""


@pytest.mark.parametrize("target", OLD_TARGETS)
def test_each_class_path_of_0_1_0_still_names_a_class(target: str) -> None:
    assert isinstance(get_class(MOVED_TARGETS.get(target, target)), type)


def test_a_yaml_with_old_paths_makes_its_parts(tmp_path: Path) -> None:
    for group, name, text in (
        ("storage", "mine", "_target_: raypipe.storage.local.LocalBookStore\npath: books\n"),
        ("summarizer", "mine", "_target_: raypipe.summarizers.passthrough.LeadSummarizer\n"),
    ):
        (tmp_path / "conf" / group).mkdir(parents=True)
        (tmp_path / "conf" / group / f"{name}.yaml").write_text(text)
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "A_Lamp__by__Ann_Ash.txt").write_text("The lamp burned. " * 40)
    done = subprocess.run(
        [
            sys.executable, "-m", "raypipe", "plan", "--config-dir", str(tmp_path / "conf"),
            "storage=mine", "summarizer=mine", "embedder=hash", "opensearch=none",
            f"state.uri={tmp_path / 'state'}",
        ],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("listed 1 = done 0 + known failures 0 + finished, to index 0 + ")
