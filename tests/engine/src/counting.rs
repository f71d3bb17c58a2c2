//! Instruments a module to count the instructions that it executes, in a global.
//!
//! The interpreter's fuel does not serve: it is charged for a whole block on entry, including what the
//! block jumps over, which is most of a function with many cases.

use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    CodeSection, ConstExpr, ExportKind, ExportSection, Function, GlobalSection, GlobalType,
    Instruction, Module, ValType,
};
use wasmparser::{
    ExportSectionReader, FunctionBody, GlobalSectionReader, Operator, Parser, Payload, TypeRef,
};

/// The name under which the count is exported.
pub(crate) const COUNT: &str = "dossier_instructions";

/// 64 copied or filled bytes count as one instruction; as a shift.
const COPIED_PER_INSTRUCTION: i32 = 6;

/// The same module, instrumented.
pub(crate) fn instrument(module: &[u8]) -> Result<Vec<u8>, Error> {
    let mut counting = Counting {
        count: count_globals(module)?,
    };
    let mut counted = Module::new();
    counting.parse_core_module(&mut counted, Parser::new(0), module)?;
    Ok(counted.finish())
}

fn count_globals(module: &[u8]) -> Result<u32, Error> {
    let mut globals = 0;
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    globals += u32::from(matches!(import?.ty, TypeRef::Global(_)));
                }
            }
            Payload::GlobalSection(section) => globals += section.count(),
            _ => {}
        }
    }
    Ok(globals)
}

/// Adds two globals to those of the module.
struct Counting {
    /// The index of the counter. The global after it holds a length temporarily.
    count: u32,
}

impl Counting {
    const fn length(&self) -> u32 {
        self.count + 1
    }

    /// Adds the instructions since the last call.
    fn add(&self, function: &mut Function, executed: &mut i64) {
        let more = std::mem::take(executed);
        if more == 0 {
            return;
        }
        for instruction in [
            Instruction::GlobalGet(self.count),
            Instruction::I64Const(more),
            Instruction::I64Add,
            Instruction::GlobalSet(self.count),
        ] {
            function.instruction(&instruction);
        }
    }

    /// Adds for a copy whose length is on the stack.
    fn add_copied(&self, function: &mut Function) {
        for instruction in [
            Instruction::GlobalSet(self.length()),
            Instruction::GlobalGet(self.length()),
            Instruction::GlobalGet(self.length()),
            Instruction::I32Const(COPIED_PER_INSTRUCTION),
            Instruction::I32ShrU,
            Instruction::I64ExtendI32U,
            Instruction::GlobalGet(self.count),
            Instruction::I64Add,
            Instruction::GlobalSet(self.count),
        ] {
            function.instruction(&instruction);
        }
    }
}

impl Reencode for Counting {
    type Error = std::convert::Infallible;

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: GlobalSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_global_section(self, globals, section)?;
        let mut add = |val_type, value: &ConstExpr| {
            let global = GlobalType {
                val_type,
                mutable: true,
                shared: false,
            };
            globals.global(global, value);
        };
        add(ValType::I64, &ConstExpr::i64_const(0));
        add(ValType::I32, &ConstExpr::i32_const(0));
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: ExportSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_export_section(self, exports, section)?;
        exports.export(COUNT, ExportKind::Global, self.count);
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), Error> {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let mut operators = body.get_operators_reader()?;
        let mut executed = 0;
        while !operators.eof() {
            let operator = operators.read()?;
            executed += i64::from(is_executed(&operator));
            if ends_basic_block(&operator) {
                self.add(&mut function, &mut executed);
            }
            if matches!(
                operator,
                Operator::MemoryCopy { .. } | Operator::MemoryFill { .. }
            ) {
                self.add_copied(&mut function);
            }
            function.instruction(&self.instruction(operator)?);
        }
        code.function(&function);
        Ok(())
    }
}

/// Whether an operator does anything at run time.
const fn is_executed(operator: &Operator<'_>) -> bool {
    !matches!(
        operator,
        Operator::Nop
            | Operator::Drop
            | Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::Else
            | Operator::End
            | Operator::Return
            | Operator::Unreachable
    )
}

/// Whether the instructions before an operator may run without those after it, or the reverse.
const fn ends_basic_block(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::Else
            | Operator::End
            | Operator::Br { .. }
            | Operator::BrIf { .. }
            | Operator::BrTable { .. }
            | Operator::Return
            | Operator::Unreachable
    )
}

#[cfg(test)]
mod tests {
    use wasmi::{Engine, Linker, Module, Store, Val};

    use super::*;

    /// Runs a function with this code in a module with `(global i32 0) (memory 1)`.
    fn count(argument: i32, code: &[Instruction<'_>]) -> i64 {
        let mut store = Store::new(&Engine::default(), ());
        let bytes = instrument(&module(code)).unwrap();
        let module = Module::new(store.engine(), &bytes).unwrap();
        let linker = Linker::new(store.engine());
        let instance = linker.instantiate_and_start(&mut store, &module).unwrap();
        let run = instance.get_typed_func::<i32, ()>(&store, "run").unwrap();
        run.call(&mut store, argument).unwrap();
        match instance.get_global(&store, COUNT).unwrap().get(&store) {
            Val::I64(count) => count,
            other => panic!("{other:?}"),
        }
    }

    fn module(code: &[Instruction<'_>]) -> Vec<u8> {
        use wasm_encoder::{FunctionSection, MemorySection, MemoryType, Module, TypeSection};
        let mut types = TypeSection::new();
        types.ty().function([ValType::I32], []);
        let mut functions = FunctionSection::new();
        functions.function(0);
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: 1,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut globals = GlobalSection::new();
        let global = GlobalType {
            val_type: ValType::I32,
            mutable: true,
            shared: false,
        };
        globals.global(global, &ConstExpr::i32_const(0));
        let mut exports = ExportSection::new();
        exports.export("run", ExportKind::Func, 0);
        let mut function = Function::new([]);
        for instruction in code {
            function.instruction(instruction);
        }
        let mut codes = CodeSection::new();
        codes.function(&function);
        let mut module = Module::new();
        module
            .section(&types)
            .section(&functions)
            .section(&memories)
            .section(&globals)
            .section(&exports)
            .section(&codes);
        module.finish()
    }

    #[test]
    fn skips_instructions_that_are_jumped_over() {
        use wasm_encoder::BlockType::Empty;
        let code = [
            Instruction::Block(Empty),
            Instruction::LocalGet(0),
            Instruction::BrIf(0),
            Instruction::I32Const(1),
            Instruction::GlobalSet(0),
            Instruction::End,
            Instruction::End,
        ];
        assert_eq!((count(0, &code), count(1, &code)), (4, 2));
    }

    #[test]
    fn counts_each_iteration_of_loop() {
        use wasm_encoder::BlockType::Empty;
        let code = [
            Instruction::Loop(Empty),
            Instruction::LocalGet(0),
            Instruction::I32Const(1),
            Instruction::I32Sub,
            Instruction::LocalTee(0),
            Instruction::BrIf(0),
            Instruction::End,
            Instruction::End,
        ];
        assert_eq!((count(1, &code), count(10, &code)), (5, 50));
    }

    #[test]
    fn counts_each_64_filled_bytes() {
        let code = [
            Instruction::I32Const(0),
            Instruction::I32Const(0),
            Instruction::LocalGet(0),
            Instruction::MemoryFill(0),
            Instruction::End,
        ];
        assert_eq!((count(63, &code), count(640, &code)), (4, 14));
    }
}
