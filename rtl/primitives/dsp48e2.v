// Simulation model of the DSP48E2 modes that the blocks here use, written from AMD UG579 (v1.11,
// UltraScale Architecture DSP Slice): the register stages of figure 1-1 and tables on OPMODE and
// INMODE. Anything outside those modes stops the simulation. Checked by tests/rtl/test_dsp48e2.py.
`default_nettype none
module DSP48E2 #(
  parameter AMULTSEL = "A", parameter BMULTSEL = "B", parameter PREADDINSEL = "A",
  parameter A_INPUT = "DIRECT", parameter B_INPUT = "DIRECT",
  parameter USE_MULT = "MULTIPLY", parameter USE_SIMD = "ONE48",
  parameter integer AREG = 1, parameter integer ACASCREG = 1, parameter integer BREG = 1,
  parameter integer BCASCREG = 1, parameter integer DREG = 1, parameter integer ADREG = 1,
  parameter integer CREG = 1, parameter integer MREG = 1, parameter integer PREG = 1,
  parameter integer OPMODEREG = 1, parameter integer INMODEREG = 1, parameter integer ALUMODEREG = 1,
  parameter integer CARRYINREG = 1, parameter integer CARRYINSELREG = 1
) (
  input  wire        CLK,
  input  wire        CEA1, CEA2, CEB1, CEB2, CED, CEAD, CEC, CEM, CEP, CECTRL, CEALUMODE, CECARRYIN,
                     CEINMODE,
  input  wire        RSTA, RSTB, RSTD, RSTC, RSTM, RSTP, RSTCTRL, RSTALLCARRYIN, RSTALUMODE,
                     RSTINMODE,
  input  wire [29:0] A, ACIN,
  input  wire [17:0] B, BCIN,
  input  wire [47:0] C, PCIN,
  input  wire [26:0] D,
  input  wire [8:0]  OPMODE,
  input  wire [3:0]  ALUMODE,
  input  wire [4:0]  INMODE,
  input  wire [2:0]  CARRYINSEL,
  input  wire        CARRYIN, CARRYCASCIN, MULTSIGNIN,
  output wire [47:0] P, PCOUT
);
  // zero at power-up, as configuration leaves them
  reg signed [26:0] a2 = 0, d = 0, ad = 0;
  reg signed [17:0] b1 = 0, b2 = 0;
  reg signed [44:0] m = 0;
  reg        [47:0] c = 0, p = 0;
  reg        [8:0]  opmode = 0;
  reg        [47:0] xy, z;

  initial
    if (AMULTSEL != "AD" || BMULTSEL != "B" || PREADDINSEL != "A" || A_INPUT != "DIRECT" ||
        B_INPUT != "DIRECT" || USE_MULT != "MULTIPLY" || USE_SIMD != "ONE48" || AREG != 1 ||
        BREG != 2 || DREG != 1 || ADREG != 1 || CREG != 1 || MREG != 1 || PREG != 1 ||
        OPMODEREG != 1 || INMODEREG != 0 || ALUMODEREG != 0 || CARRYINREG != 0 ||
        CARRYINSELREG != 0) begin
      $display("DSP48E2: a configuration that this model does not cover");
      $finish;
    end

  wire idle = ALUMODE == 4'd0 && CARRYINSEL == 3'd0 && !CARRYIN && INMODE == 5'b00100;
  wire adds = opmode[8:7] == 2'b00 && (opmode[3:0] == 4'b0000 || opmode[3:0] == 4'b0101) &&
              (opmode[6:4] == 3'b000 || opmode[6:4] == 3'b001 || opmode[6:4] == 3'b011);

  always @(posedge CLK)
    if (!RSTCTRL && !(idle && adds)) begin
      $display("DSP48E2: an operation that this model does not cover");
      $finish;
    end

  always @*
    case (opmode[3:0])
      4'b0101: xy = {{3{m[44]}}, m};
      default: xy = 48'd0;  // as after a reset
    endcase

  always @*
    case (opmode[6:4])
      3'b000:  z = 48'd0;
      3'b001:  z = PCIN;
      3'b011:  z = c;
      default: z = {48{1'bx}};
    endcase

  always @(posedge CLK) begin
    if (RSTA) a2 <= 0; else if (CEA2) a2 <= A[26:0];
    if (RSTB) b1 <= 0; else if (CEB1) b1 <= B;
    if (RSTB) b2 <= 0; else if (CEB2) b2 <= b1;
    if (RSTD) d <= 0; else if (CED) d <= D;
    if (RSTD) ad <= 0; else if (CEAD) ad <= a2 + d;
    if (RSTC) c <= 0; else if (CEC) c <= C;
    if (RSTM) m <= 0; else if (CEM) m <= ad * b2;
    if (RSTCTRL) opmode <= 0; else if (CECTRL) opmode <= OPMODE;
    if (RSTP) p <= 0; else if (CEP) p <= z + xy;
  end

  assign P = p;
  assign PCOUT = p;
endmodule
`default_nettype wire
