"""Processes that are forked are like those that a shell starts."""

import os
import signal

from forked_commands import ForkedProcess, run_forked

TELL = "import os, sys; print(sys.argv[1:], os.environ['OWN'], os.getcwd()); sys.exit('a complaint')"
THREADS = """
from clothinggan import environment
environment.import_tensorflow()
import tensorflow as tf
print(environment.thread_count(), tf.config.threading.get_inter_op_parallelism_threads())
"""


def test_each_has_words_an_environment_a_folder_and_output_of_its_own(tmp_path):
    done = run_forked("-c", TELL, "a word", 2, env={**os.environ, "OWN": "x"}, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "a complaint\n")
    assert done.stdout == f"['a word', '2'] x {tmp_path}\n"


def test_its_environment_says_how_many_threads_it_has():
    for count in ("1", "2"):
        done = run_forked("-c", THREADS, env={**os.environ, "TF_NUM_INTRAOP_THREADS": count})
        assert done.stdout.split() == [count, count], done.stderr


def test_a_command_ends_with_its_status():
    done = run_forked("-m", "clothinggan.train", "--epochs", "0")
    assert done.returncode == 2
    assert "--epochs: '0' is not a whole number" in done.stderr


def test_the_signal_that_ends_one_is_its_status():
    with ForkedProcess("-c", "import time; print('begun', flush=True); time.sleep(100)") as process:
        assert process.stdout.readline() == "begun\n"
        assert process.poll() is None
        process.kill()
        assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == -signal.SIGKILL
