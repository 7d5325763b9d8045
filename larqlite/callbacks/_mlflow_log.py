"""MLflowLog: what a run of training leaves in MLflow, the packed file included."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from larqlite._two_kerases import CallbackOfTfKeras
from larqlite.errors import MissingFileError

__all__ = ["MLflowLog"]

WHERE = "lq.callbacks.MLflowLog"


class MLflowLog(CallbackOfTfKeras):
    """Logs training to MLflow: metrics of each epoch, and at the end the packed file.

    `mlflow.autolog()` and `mlflow.tensorflow.MlflowCallback` know the models of `tf.keras`,
    which is Keras 3: they log nothing of a model of `tf_keras`, unless the variable
    `TF_USE_LEGACY_KERAS=1` was set before TensorFlow was imported. This callback needs no
    variable.

    Metrics are those of `fit`, under their names: loss, accuracy, flip ratios
    (`flip_ratio/<layer>`) of a model built inside of
    `lq.context.metrics_scope(["flip_ratio"])`, and `val_...` of each. Parameters are the
    optimizer's, as `opt_...`, and the epochs. If no run is active, one is started, and
    ended with the training. Needs `pip install mlflow` (or `mlflow-skinny`).

    Args:
        packed: whether to log the file of `lq.deploy.export` as the artefact
            `<model>.onnx`. A model that cannot be packed is refused before it is trained.

    Raises:
        MissingFileError: mlflow is not installed.

    Example:
        >>> model.fit(x, y, callbacks=[lq.callbacks.MLflowLog()])  # doctest: +SKIP
    """

    def __init__(self, *, packed: bool = True):
        super().__init__()
        self._mlflow = _mlflow()
        self.packed = packed
        self._is_ours = False

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Refuses what cannot be packed, starts a run if none is active, logs parameters."""
        if self.packed:
            self._export(None)
        if self._is_ours:  # of a training that was broken off
            self._end("FAILED")
        run = self._mlflow.active_run()
        if run is None:
            run = self._mlflow.start_run()
            self._is_ours = True
        optimizer = self.model.optimizer.get_config()
        parameters = {f"opt_{name}": value for name, value in optimizer.items()}
        parameters["epochs"] = self.params.get("epochs")
        # MLflow refuses another value: those of the first training of a run stay.
        known = self._mlflow.get_run(run.info.run_id).data.params
        self._mlflow.log_params(
            {name: value for name, value in parameters.items() if name not in known}
        )

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Logs the metrics of this epoch."""
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        self._mlflow.log_metrics(metrics, step=epoch)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Logs the packed file, and ends the run that this callback has started."""
        try:
            if self.packed:
                self._export(self._mlflow.log_artifact)
        except BaseException:
            self._end("FAILED")
            raise
        self._end("FINISHED")

    def _end(self, status: str) -> None:
        if self._is_ours:
            self._mlflow.end_run(status)
            self._is_ours = False

    def _export(self, log_artifact: Any) -> None:
        from larqlite import deploy

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{self.model.name}.onnx"
            deploy.export(self.model, path, verify=log_artifact is not None)
            if log_artifact is not None:
                log_artifact(str(path))


def _mlflow() -> Any:
    try:
        import mlflow
    except ImportError as error:
        raise MissingFileError(
            f"{WHERE}: mlflow cannot be imported ({error}).\n  Fix: pip install mlflow"
        ) from error
    return mlflow
