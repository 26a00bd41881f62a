"""What a person is told when the streaming query fails: the one line that says why, whatever Spark wraps
around it.
"""

from streams.query import reason

WRAPPED = """[STREAM_FAILED] Query [id = 5f, runId = 7a] terminated with exception: \
An exception was raised by the Python Proxy. \
Return Message: Traceback (most recent call last):
  File "streams/batch/process.py", line 80, in process_batch
    store.table("batches").append([row])
OSError: Unable to copy data to file: No space left on device (os error 28)

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "pyspark/sql/utils.py", line 120, in call
store.errors.StoreUnwritable: /data/st/facts cannot be written: No space left on device (os error 28)
 SQLSTATE: XXKST"""


def test_our_own_error_is_told_as_it_was_said():
    assert reason(WRAPPED) == "/data/st/facts cannot be written: No space left on device (os error 28)"


def test_a_full_disk_under_the_checkpoint_and_any_other_error_are_one_line():
    assert reason("java.io.IOException: No space left on device\n\tat x") == "No space left on device"
    assert (
        reason("[DELTA_SOMETHING] a table went away.\nat x\nat y") == "[DELTA_SOMETHING] a table went away."
    )
    assert reason("") == "no reason was given"
