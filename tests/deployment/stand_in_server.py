"""A program that answers Triton's protocol for one model, by ONNX Runtime: what the client sends can be tested.

stand_in_server.py DIRECTORY_OF_THE_MODEL: prints its port, and serves until its standard input ends.
"""

import mmap
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import onnxruntime
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

TYPES = {"FP32": np.float32, "FP16": np.float16, "UINT8": np.uint8}


class Server(service_pb2_grpc.GRPCInferenceServiceServicer):
    def __init__(self, directory: Path) -> None:
        self._configuration = text_format.Parse(
            (directory / "config.pbtxt").read_text(), model_config_pb2.ModelConfig()
        )
        file = directory / "1" / self._configuration.default_model_filename
        self._session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        self._regions: dict[str, str] = {}

    def SystemSharedMemoryRegister(self, request, context):
        assert Path(f"/dev/shm{request.key}").stat().st_size >= request.byte_size
        self._regions[request.name] = request.key
        return service_pb2.SystemSharedMemoryRegisterResponse()

    def SystemSharedMemoryUnregister(self, request, context):
        del self._regions[request.name]
        return service_pb2.SystemSharedMemoryUnregisterResponse()

    def ModelInfer(self, request, context):
        (given,), (returned,) = request.inputs, request.outputs
        (tensor,), (result,) = self._configuration.input, self._configuration.output
        assert request.model_name == self._configuration.name
        assert (given.name, returned.name) == (tensor.name, result.name)
        assert f"TYPE_{given.datatype}" == model_config_pb2.DataType.Name(tensor.data_type)
        assert all(
            size in (dim, size if dim == -1 else None) for size, dim in zip(given.shape, tensor.dims, strict=True)
        )
        data = np.frombuffer(self._memory(given), TYPES[given.datatype]).reshape(given.shape)
        (output,) = self._session.run([returned.name], {given.name: data})
        written = output.tobytes()
        assert returned.parameters["shared_memory_byte_size"].int64_param == len(written)
        with Path(self._path(returned)).open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            offset = returned.parameters["shared_memory_offset"].int64_param
            memory[offset : offset + len(written)] = written
        answer = service_pb2.ModelInferResponse(model_name=request.model_name)
        datatype = model_config_pb2.DataType.Name(result.data_type).removeprefix("TYPE_")
        answer.outputs.add(name=returned.name, datatype=datatype, shape=output.shape)
        return answer

    def _path(self, tensor) -> str:
        return f"/dev/shm{self._regions[tensor.parameters['shared_memory_region'].string_param]}"

    def _memory(self, tensor) -> bytes:
        offset = tensor.parameters["shared_memory_offset"].int64_param
        return Path(self._path(tensor)).read_bytes()[offset:][
            : tensor.parameters["shared_memory_byte_size"].int64_param
        ]


server = grpc.server(ThreadPoolExecutor(1))
service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Server(Path(sys.argv[1])), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
server.stop(None)
