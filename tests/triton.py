"""tritonclient, in a virtual environment and a process of its own: a line of JSON in, what came of it as a line out.

Its own Python runs this file as a script; the tests import `Triton`, which starts it.
"""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class TritonError(Exception):
    """What tritonclient raised: a status such as StatusCode.NOT_FOUND, and its text."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status, self.text = status, text


class Triton:
    """An InferenceServerClient of tritonclient, asked over a pipe."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        """What a method of the client returns, messages as JSON; TritonError if it raises."""
        return self._send(method=method, arguments=arguments, named=named)

    def infer(self, model: str, texts: Sequence[str], shape: Sequence[int] = (), **named: Any) -> dict[str, Any]:
        """The response, and under `outputs` each tensor by its name: datatype, shape and its bytes."""
        answer = self._send(model=model, texts=texts, shape=shape or [len(texts)], named=named)
        for tensor in answer["outputs"].values():
            tensor["data"] = base64.b64decode(tensor["data"])
        return dict(answer)

    def _send(self, **question: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise TritonError(*answer["error"])
        return answer["result"]


@contextmanager
def triton(place: Path, target: str) -> Iterator[Triton]:
    """tritonclient as it is installed in the virtual environment at `place`, talking to `target`."""
    command = [str(place / "bin/python"), __file__, target]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Triton(process)
        finally:
            process.kill()


def _serve(target: str) -> None:
    import numpy as np
    from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
    from tritonclient.utils import InferenceServerException

    client = InferenceServerClient(target)

    def infer(model: str, texts: list[str], shape: list[int], named: dict[str, Any]) -> dict[str, Any]:
        tensor = InferInput(named.pop("input", "text"), shape, "BYTES")
        tensor.set_data_from_numpy(np.array(texts, dtype=object).reshape(shape))
        if "outputs" in named:
            named["outputs"] = [InferRequestedOutput(name) for name in named["outputs"]]
        result = client.infer(model, [tensor], **named)
        response = result.get_response(as_json=True)
        outputs = {}
        for output in result.get_response().outputs:
            array = result.as_numpy(output.name)
            data = base64.b64encode(array.tobytes()).decode()
            outputs[output.name] = {"datatype": output.datatype, "shape": array.shape, "data": data}
        return {**response, "outputs": outputs}

    for line in sys.stdin:
        question = json.loads(line)
        try:
            if "texts" in question:
                result = infer(**question)
            else:
                named = question["named"] | ({"as_json": True} if "metadata" in question["method"] else {})
                result = getattr(client, question["method"])(*question["arguments"], **named)
            answer: dict[str, Any] = {"result": result}
        except InferenceServerException as error:
            answer = {"error": [error.status(), error.message()]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1])
